"""A number."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from ofa_bert.training.losses.task import KindLosses


def squared_error(scores: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean squared error of scores [B, 1] against labels [B]."""
    return F.mse_loss(scores.squeeze(-1), labels)


def squared_difference(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean squared difference of scores [B, 1]."""
    return F.mse_loss(student, teacher.detach())


def nearness(scores: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 - tanh|error|."""
    return 1 - paddle.tanh(paddle.abs(scores.squeeze(-1) - labels))


LOSSES = KindLosses(squared_error, F.mse_loss, squared_difference, nearness)
