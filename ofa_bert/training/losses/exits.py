"""What exits are trained for: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from ofa_bert.training.losses.task import task_loss


def distance(student: paddle.Tensor, teacher: paddle.Tensor, regression: bool) -> paddle.Tensor:
    """Mean KL(softmax(teacher) || softmax(student)) of logits [B, C]; squared difference of numbers [B, 1].

    The teacher gets no gradient.
    """
    teacher = teacher.detach()
    if regression:
        return F.mse_loss(student, teacher)
    log_p, log_q = F.log_softmax(teacher, axis=-1), F.log_softmax(student, axis=-1)
    return (paddle.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def exit_loss(
    logits: paddle.Tensor, labels: paddle.Tensor, last: paddle.Tensor, share: float, regression: bool
) -> paddle.Tensor:
    """(1 - share) * loss against the labels [B] + share * distance from the last exit's answer [B, C].

    Share 0 is DeeBERT's and PABEE's loss, share 1 FastBERT's and GEEP's.
    """
    total = 0.0
    if share < 1:
        total = total + (1 - share) * task_loss(logits, labels, regression)
    if share > 0:
        total = total + share * distance(logits, last, regression)
    return total


def certainty_loss(
    certainty: paddle.Tensor, logits: paddle.Tensor, labels: paddle.Tensor, regression: bool
) -> paddle.Tensor:
    """Mean squared error of certainty [B] against how right logits [B, C] are (BERxiT).

    Right is 1 for the true class and 0 for any other; 1 - tanh|error| for a number. The logits get no gradient.
    """
    logits = logits.detach()
    if regression:
        right = 1 - paddle.tanh(paddle.abs(logits.squeeze(-1) - labels))  # [B]
    else:
        right = (logits.argmax(-1) == labels).astype(certainty.dtype)  # [B]
    return F.mse_loss(certainty, right)


def weights(kind: str, layers_run: Sequence[int]) -> list[float]:
    """Weights that sum to 1 over the exits: all alike, or growing with the layers run (PABEE)."""
    raw = [1.0] * len(layers_run) if kind == "uniform" else [float(count) for count in layers_run]
    return [value / sum(raw) for value in raw]
