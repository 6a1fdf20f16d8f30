"""Distillation of self-attention relations (MiniLMv2, arXiv 2012.15828, section 3.2): pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from ofa_bert.models.operators import log_softmax


def relation_loss(
    student: Sequence[paddle.Tensor],
    teacher: Sequence[paddle.Tensor],
    heads: int,
    mask: paddle.Tensor,
    weights: paddle.Tensor,
) -> paddle.Tensor:
    """Sum over queries, keys and values of KL(teacher || student) between each token's relations to the others.

    student, teacher: such projections [B, T, A] of one layer each, whose A `heads` divides. mask [B, 1, 1, T] is added
    to the relations, weights [B, T, 1] are as in `hidden_loss`; the mean is over heads.
    """
    total = 0.0
    for own, wanted in zip(student, teacher, strict=True):
        found, right = _relations(own, heads, mask), _relations(wanted, heads, mask)
        apart = (right.exp() * (right - found)).sum(-1).mean(1)  # [B, T]
        total = total + (apart * weights.squeeze(-1)).sum()
    return total


def _relations(projected: paddle.Tensor, heads: int, mask: paddle.Tensor) -> paddle.Tensor:
    """Logarithms [B, heads, T, T] of the softmax of x x^T / sqrt(d) within each relation head."""
    # Of mixed precision only the projections: a difference of logarithms needs more bits.
    x = projected.astype("float32")
    x = x.reshape([0, 0, heads, x.shape[-1] // heads]).transpose([0, 2, 1, 3])  # [B, heads, T, d]
    with paddle.amp.auto_cast(enable=False):
        scores = paddle.matmul(x * x.shape[-1] ** -0.5, x, transpose_y=True)  # [B, heads, T, T]
        return log_softmax(scores + mask.astype("float32"))
