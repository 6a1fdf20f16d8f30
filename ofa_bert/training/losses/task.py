"""The loss against the labels."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F


def task_loss(logits: paddle.Tensor, labels: paddle.Tensor, regression: bool) -> paddle.Tensor:
    """Mean cross-entropy for logits [B, C] and int64 labels [B]; mean squared error for scores [B, 1]."""
    if regression:
        return F.mse_loss(logits.squeeze(-1), labels)
    return F.cross_entropy(logits, labels)
