"""Scores of pairs: pair by pair on 0 or 1 or on numbers, or the passages of a query together on a teacher's scores."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from ofa_bert.tasks.kinds.ranking import BINARY, LISTS, NUMBERS
from ofa_bert.training.losses import formulas
from ofa_bert.training.losses.formulas import divergence, soft_binary_cross_entropy, soft_cross_entropy
from ofa_bert.training.losses.task import KindLosses


def binary_cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean over the pairs of logits [B, 1] and labels [B] of 0 and 1."""
    return F.binary_cross_entropy_with_logits(logits.squeeze(-1), labels)


def is_right(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 for each pair [B] on its side of 0, else 0."""
    return ((logits.squeeze(-1) > 0) == (labels > 0.5)).astype(logits.dtype)


def is_first(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 for each query [Q] whose best passage, by labels [Q, C], has the highest of logits [Q, C], else 0."""
    return (logits.argmax(-1) == labels.argmax(-1)).astype(logits.dtype)


# Of LISTS: the labels are scores of a teacher, and the student's are to make the same distribution over the passages.
LOSSES = {
    BINARY: KindLosses(binary_cross_entropy, soft_binary_cross_entropy, formulas.binary_divergence, is_right),
    NUMBERS: KindLosses(formulas.squared_error, formulas.mean_square, formulas.squared_difference, formulas.nearness),
    LISTS: KindLosses(divergence, soft_cross_entropy, divergence, is_first, joint=True),
}
