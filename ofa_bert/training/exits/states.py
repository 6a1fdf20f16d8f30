"""Hidden states of a model that does not change while its exits train: computed once where memory allows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.exits.outputs import Outputs, unpack
from ofa_bert.models.encoder import attention_mask, classify, embed
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.supernet import encode
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.evaluation import predict

logger = logging.getLogger(__name__)


class States(NamedTuple):
    """Of one batch and sub-model: hidden states [B, T, H] after each kept layer, mask [B, 1, 1, T], last logits [B, C].

    From a cache T is 1: position 0, which is all that a ramp and the model's own classifier read.
    """

    hidden: Sequence[paddle.Tensor]
    mask: paddle.Tensor
    last: paddle.Tensor


class Frozen:
    """States of one data set under a model in eval mode, never with gradients."""

    def __init__(
        self, model: nn.Layer, encoded: Encoded, sub_models: Mapping[str, SubModelConfig], pad_id: int
    ) -> None:
        self.model, self.encoded, self.sub_models, self.pad_id = model, encoded, dict(sub_models), pad_id
        self._cache: dict[SubModelConfig, np.ndarray] = {}

    def mebibytes(self) -> float:
        """What `keep_in_memory` would take."""
        layers = sum(sub_model.depth for sub_model in self.sub_models.values())
        return len(self.encoded) * layers * self.model.config.hidden_size * 4 / 2**20

    def keep_in_memory(self, label: str) -> None:
        """Run every sub-model over the data set once and keep position 0 of every layer."""
        hidden_size = self.model.config.hidden_size
        for name, sub_model in self.sub_models.items():
            width = sub_model.depth * hidden_size

            def first_positions(batch: Batch, sub_model: SubModelConfig = sub_model) -> paddle.Tensor:
                hidden = self._run(batch, sub_model).hidden
                return paddle.concat([states[:, 0] for states in hidden], axis=-1)  # [B, d * H]

            flat = predict(first_positions, self.encoded, width, self.pad_id, label=f"{label} {name}")
            self._cache[sub_model] = flat.reshape(len(self.encoded), sub_model.depth, hidden_size)

    def states(self, batch: Batch, sub_model: SubModelConfig) -> States:
        """`batch` holds tensors; its index says which examples of the data set they are."""
        cached = self._cache.get(sub_model)
        return self._run(batch, sub_model) if cached is None else self._recall(cached[batch.index])

    def _run(self, batch: Batch, sub_model: SubModelConfig) -> States:
        with paddle.no_grad():
            mask = attention_mask(self.model, batch.input_ids)
            out = encode(self.model, embed(self.model, batch.input_ids, batch.token_type_ids), mask, sub_model)
        return States(out.hidden, mask, out.logits)

    def _recall(self, rows: np.ndarray) -> States:
        with paddle.no_grad():
            tensor = paddle.to_tensor(rows)  # [B, d, H]
            hidden = paddle.split(tensor, rows.shape[1], axis=1)
            mask = paddle.zeros([len(rows), 1, 1, 1], dtype=tensor.dtype)
            return States(hidden, mask, classify(self.model, hidden[-1]))


def freeze(
    model: nn.Layer,
    splits: Mapping[str, Encoded],
    sub_models: Mapping[str, SubModelConfig],
    pad_id: int,
    limit_mib: float | None,
) -> dict[str, Frozen]:
    """States of several data sets; kept in memory when all of them fit in `limit_mib` (None: never)."""
    frozen = {name: Frozen(model, encoded, sub_models, pad_id) for name, encoded in splits.items()}
    needed = sum(states.mebibytes() for states in frozen.values())
    if limit_mib is not None and needed <= limit_mib:
        logger.info("hidden states of position 0 are kept: %.0f MiB", needed)
        for name, states in frozen.items():
            states.keep_in_memory(name)
    elif limit_mib is not None:
        logger.info("hidden states would take %.0f MiB: the model runs anew in every step", needed)
    return frozen


def collect(frozen: Frozen, exits: Exits, sub_model: SubModelConfig, label: str = "") -> Outputs:
    """Every exit's answer to every sample of the data set; model and exits are in eval mode."""
    points = exits.layout.points(sub_model)
    classes, count = frozen.model.config.num_labels, len(points)

    def everything(batch: Batch) -> paddle.Tensor:
        states = frozen.states(batch, sub_model)
        return all_answers(exits, points, states.hidden, states.last, states.mask)

    flat = predict(everything, frozen.encoded, (count + 1) * classes + count, frozen.pad_id, label=label)
    return unpack(flat, classes, (*(place + 1 for place, _ in points), sub_model.depth))


def all_answers(
    exits: Exits | None, points: Sequence[tuple[int, int]], hidden: Sequence[paddle.Tensor], last: paddle.Tensor,
    mask: paddle.Tensor,
) -> paddle.Tensor:  # fmt: skip
    """[B, (E + 1) * C + E]: every exit's logits, the model's own `last` [B, C], every exit's certainty.

    hidden: [B, T, H] after each kept layer; points: as of ExitLayout, none without exits.
    """
    answers, certain = [], []
    if exits is not None:
        answers = [exits.logits(layer, hidden[place], mask) for place, layer in points]
        certain = [exits.certainty(layer, hidden[place]).unsqueeze(-1) for place, layer in points]
    return paddle.concat([*answers, last, *certain], axis=-1)
