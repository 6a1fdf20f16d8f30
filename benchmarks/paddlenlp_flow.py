"""PaddleNLP's own width-elastic training, the "dynabert" strategy of `Trainer.compress()`: the peer to measure against.

Everything that computes is the code of the installed packages (paddlenlp.trainer.trainer_compress,
paddlenlp.transformers.ofa_utils, paddleslim.nas.ofa), entered through `Trainer.compress()` itself: their conversion,
importance, reordering, AdamW and their loop with four widths and one optimizer step. What is ours here:

Repair, without which it does not run on Paddle 2.6.2:
1. paddleslim.nas.ofa.layers.SuperLayerNorm.forward unpacks three tensors from paddle._C_ops.layer_norm, which returns
   one here. It is replaced by a call of paddle.nn.functional.layer_norm on the same leading weights.
Observation, which leaves the computation alone:
2. the two data loaders are replaced, so that the caller paces the steps and knows the batches;
3. the two losses of each width are noted as they are returned.
Left as it is, though it costs the peer time: the teacher runs once per width, with autograd on, and with dropout
(`compress` evaluates it before training, which ends in `model.train()`); embeddings run once per width.
Widths must give whole numbers of heads: their head count is cut and scaled back, and a reshape fails otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddlenlp.trainer import CompressionArguments, Trainer, trainer_compress
from paddleslim.nas.ofa.layers import SuperLayerNorm

NEVER = 10**9  # their loop neither logs nor evaluates while it is timed


def repair() -> None:
    """Replace the one method that raises on Paddle 2.6."""
    SuperLayerNorm.forward = _layer_norm


def _layer_norm(self, input):
    # Repair 1: the leading weights for however many features come in, as theirs, through Paddle's public function.
    features = int(input.shape[-1])
    self.cur_config = {"prune_dim": features}
    return F.layer_norm(input, [features], self.weight[:features], self.bias[:features], self._epsilon)


class Loader:
    """What their code asks of a data loader; `make` starts an iteration over batches as dictionaries of tensors."""

    def __init__(self, make: Callable[[], Iterator[dict[str, paddle.Tensor]]], length: int):
        self.make, self.length = make, length

    def __iter__(self) -> Iterator[dict[str, paddle.Tensor]]:
        return self.make()

    def __len__(self) -> int:
        return self.length


class Peer(Trainer):
    """Their trainer with our data loaders (2.)."""

    def __init__(self, train: Loader, dev: Loader, **more: Any):
        super().__init__(**more)
        self.loaders = train, dev
        self.eval_dataset = ()  # asked for by `_dynabert`, used by nobody: the loader is ours

    def get_train_dataloader(self) -> Loader:
        return self.loaders[0]

    def get_eval_dataloader(self, eval_dataset=None) -> Loader:
        return self.loaders[1]


def peer(
    model: nn.Layer, train: Loader, dev: Loader, widths: Sequence[float], steps: int, learning_rate: float, folder: str
) -> Peer:
    """Their trainer around `model`, ready for `compress()`. `dev` holds labels: importance is measured on it.

    `args.width_mult_list` is read anew by their loop in every step.
    """
    repair()
    args = CompressionArguments(
        output_dir=folder,
        device="cpu",
        strategy="dynabert",
        width_mult_list=[repr(width) for width in widths],  # `compress` evaluates them: they come from a command line
        learning_rate=learning_rate,
        max_steps=steps,
        logging_steps=NEVER,
        save_steps=NEVER,
        disable_tqdm=True,
    )
    return Peer(train, dev, model=model, criterion=nn.CrossEntropyLoss(), args=args)


class Losses:
    """The losses of the widths trained since the last `take` (3.)."""

    def __init__(self) -> None:
        from paddleslim.nas.ofa import OFA

        self.total, self.widths = 0.0, 0
        self._hidden, self._logit = OFA.calc_distill_loss, trainer_compress.soft_cross_entropy
        OFA.calc_distill_loss = lambda ofa: self._note(self._hidden(ofa), 0)
        trainer_compress.soft_cross_entropy = lambda own, target: self._note(self._logit(own, target), 1)

    def _note(self, loss: paddle.Tensor, last: int) -> paddle.Tensor:
        self.total += float(loss)
        self.widths += last  # the logit loss comes second, once per width
        return loss

    def take(self) -> float:
        """The mean over widths and steps of hidden-state plus logit loss."""
        mean, self.total, self.widths = self.total / max(1, self.widths), 0.0, 0
        return mean
