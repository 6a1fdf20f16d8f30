"""How many answers of an exported model are those of the dynamic one, where an answer is about several rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.models.encoder import backbone
from ofa_bert.tasks.task import Task
from ofa_bert.training.evaluation import Forward, predict, stock_forward

_MOST = 64  # examples


@dataclass(frozen=True)
class Compared:
    """The first examples of dev with all their rows, and what the dynamic model says of them."""

    task: Task
    encoded: Encoded
    pad_id: int
    expected: np.ndarray

    @classmethod
    def of(cls, model: nn.Layer, task: Task, dev: Encoded) -> Compared:
        pad_id = backbone(model).pad_token_id
        some = dev.take(range(min(_MOST, dev.examples)))
        return cls(task, some, pad_id, _said(task, stock_forward(model), some, pad_id))

    def agreement(self, forward: Forward) -> float | None:
        """The share of the same answers; None where no example leaves a choice."""
        found = _said(self.task, forward, self.encoded, self.pad_id)
        same = self.task.kind.same(found, self.expected, self.task.thresholds)
        open_ones = self.task.kind.undecided(self.expected)
        return float(same[open_ones].mean()) if open_ones.any() else None


def _said(task: Task, forward: Forward, encoded: Encoded, pad_id: int) -> np.ndarray:
    return encoded.by_example(predict(forward, encoded, task.num_labels, pad_id))
