"""Evaluates sub-models inside the supernet, untrained and unextracted: scores, losses, what each layer is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.exits.outputs import Outputs, unpack
from ofa_bert.models.encoder import attention_mask, embed
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.supernet import encode
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.intervals import interval
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.exits.states import all_answers

BATCH = 64


class Judged(TypedDict):
    """score: the main metric; loss: the distance to the reference; scores: every metric."""

    score: float
    loss: float
    scores: Mapping[str, float]


class Scorer:
    """Scores and losses of sub-models on one set of examples. The loss is the kind's distance to `reference`'s outputs.

    Embeddings are computed once.
    """

    def __init__(
        self, model: nn.Layer, encoded: Encoded, task: Task, pad_id: int, reference: SubModelConfig,
        exits: Exits | None = None,
    ) -> None:  # fmt: skip
        self.model, self.task, self.labels, self.exits = model, task, encoded.scored, exits
        self.encoded, self._by_example = encoded, encoded.by_example
        self.batches = []
        model.eval()
        with paddle.no_grad():
            for batch in map(to_tensors, eval_batches(encoded, BATCH, pad_id)):
                embedded = embed(model, batch.input_ids, batch.token_type_ids)
                self.batches.append((embedded, attention_mask(model, batch.input_ids), batch.index))
        self.reference = reference
        self.wanted = self.logits(reference)

    def logits(self, sub_model: SubModelConfig) -> np.ndarray:
        """[N, C] float32, in the order of the examples; of every token that counts, where each has an answer."""
        return self._collect(lambda batch, mask: encode(self.model, batch, mask, sub_model).logits, self._embedded())

    def outputs(self, sub_model: SubModelConfig) -> Outputs:
        """What every exit that the sub-model has says; without exits, what the model itself does."""
        points = self.exits.layout.points(sub_model) if self.exits else ()
        count, classes = len(points), self.task.num_labels

        def run(x: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
            output = encode(self.model, x, mask, sub_model)
            return all_answers(self.exits, points, output.hidden, output.logits, mask)

        flat = self._collect(run, self._embedded(), (count + 1) * classes + count)
        return unpack(flat, classes, (*(place + 1 for place, _ in points), sub_model.depth))

    def _embedded(self) -> list[paddle.Tensor]:
        return [embedded for embedded, _, _ in self.batches]

    def _collect(
        self, run: Callable[..., paddle.Tensor], inputs: Sequence[paddle.Tensor], width: int = 0
    ) -> np.ndarray:
        answered = Answered(self.encoded, width or self.task.num_labels)
        with paddle.no_grad():
            for (_, mask, index), x in zip(self.batches, inputs):
                answered.put(index, run(x, mask).astype("float32").numpy())
        return answered.logits

    def score(self, sub_model: SubModelConfig) -> Judged:
        """As `judge`, of the sub-model's own answers."""
        return self.judge(self.logits(sub_model))

    def judge(self, logits: np.ndarray) -> Judged:
        """Of answers [N, C]."""
        scores = compute(self.task, self._by_example(logits), self.labels)
        return {"score": main_score(self.task, scores), "loss": self.loss(logits), "scores": scores}

    def interval(self, logits: np.ndarray) -> list[float]:
        """[low, high] of the score of answers [N, C] at 95 %."""
        return list(interval(self.task, self._by_example(logits), self.labels))

    def loss(self, logits: np.ndarray) -> float:
        return self.task.kind.distance(self._by_example(self.wanted), self._by_example(logits))

    def cross_entropy(self, logits: np.ndarray) -> float:
        """Of answers [N, C] to the reference's, as the kind has it."""
        return self.task.kind.cross_entropy(self._by_example(self.wanted), self._by_example(logits))

    def loss_increases(
        self, base: SubModelConfig, space: UnevenSpace, drop: bool, progress: Callable[[Iterable[int]], Iterable[int]]
    ) -> list[dict[tuple[int, int] | None, float]]:
        """For every layer of `base`, which is full width: what each option in its place alone adds to the loss.

        Heads and neurons are measured at their least and in the middle, interpolated between, and their increases are
        added. The layers before the changed one are not computed again. Layers that `base` lacks have the option None.
        """
        states = self._states(base)
        before = self.loss(self._collect(self._tail(base), [hidden[-1] for hidden in states]))
        found: list[dict[tuple[int, int] | None, float]] = [{None: 0.0} for _ in range(space.shape.num_layers)]
        for place in progress(range(base.depth)):
            heads = self._curve(base, states, place, "heads", space.heads, before)
            ffn = self._curve(base, states, place, "ffn", space.ffn, before)
            options: dict[tuple[int, int] | None, float] = {
                (h, n): heads[h] + ffn[n] for h in space.heads for n in space.ffn
            }
            if drop and base.depth > space.min_depth:
                options[None] = self._changed(base, states, place, None) - before
            found[base.layers[place]] = options
        return found

    def _states(self, base: SubModelConfig) -> list[list[paddle.Tensor]]:
        """Per batch: the embeddings and the hidden states after every layer but the last."""
        with paddle.no_grad():
            outputs = [encode(self.model, x, mask, base) for x, mask, _ in self.batches]
        return [[x, *output.hidden[:-1]] for (x, _, _), output in zip(self.batches, outputs)]

    def _tail(self, sub_model: SubModelConfig) -> Callable[..., paddle.Tensor]:
        last = _part(sub_model, sub_model.depth - 1)
        return lambda x, mask: encode(self.model, x, mask, last).logits

    def _curve(
        self,
        base: SubModelConfig,
        states: list[list[paddle.Tensor]],
        place: int,
        part: str,
        choices: Sequence[int],
        before: float,
    ) -> Mapping[int, float]:
        """Hurt of every choice of heads or neurons in one layer; 0 for the full number."""
        measured = sorted({choices[0], choices[len(choices) // 2]} - {getattr(base, part)[place]})
        loss_increases = [self._changed(base, states, place, (part, count)) - before for count in measured]
        counts = [*measured, getattr(base, part)[place]]
        return dict(
            zip(choices, np.interp(choices, counts, [*(max(0.0, hurt) for hurt in loss_increases), 0.0]).tolist())
        )

    def _changed(
        self, base: SubModelConfig, states: list[list[paddle.Tensor]], place: int, change: tuple[str, int] | None
    ) -> float:
        """The loss with one layer changed, or dropped."""
        start = place
        if change is None:
            # The head needs a layer before it: without the last one, the one before runs again.
            start = place - 1 if place == base.depth - 1 else place
            parts = {
                n: tuple(v for i, v in enumerate(getattr(base, n)) if i != place) for n in ("layers", "heads", "ffn")
            }
        else:
            part, count = change
            parts = {name: getattr(base, name) for name in ("layers", "heads", "ffn")}
            parts[part] = tuple(count if i == place else v for i, v in enumerate(parts[part]))
        rest = _part(SubModelConfig(**parts), start)
        inputs = [hidden[start] for hidden in states]
        return self.loss(self._collect(lambda x, mask: encode(self.model, x, mask, rest).logits, inputs))


def _part(sub_model: SubModelConfig, start: int) -> SubModelConfig:
    return SubModelConfig(sub_model.layers[start:], sub_model.heads[start:], sub_model.ffn[start:])
