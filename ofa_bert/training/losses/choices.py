"""One of several choices: logits of rows are regrouped to [E, C] before they come here, as `task.for_batch` does."""

from __future__ import annotations

import paddle

from ofa_bert.training.losses.formulas import cross_entropy, divergence, is_right, soft_cross_entropy
from ofa_bert.training.losses.task import KindLosses


def choice_cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean over the questions of the cross-entropy of logits [E, C] to the choice whose label [E, C] is 1."""
    return cross_entropy(logits, labels.argmax(-1))


def is_right_choice(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 for each question [E] whose right choice has the highest logit, else 0."""
    return is_right(logits, labels.argmax(-1))


LOSSES = KindLosses(choice_cross_entropy, soft_cross_entropy, divergence, is_right_choice, joint=True)
