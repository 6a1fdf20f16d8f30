"""One class of several."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from ofa_bert.training.losses.task import KindLosses


def cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean cross-entropy of logits [B, C] to int64 labels [B]."""
    return F.cross_entropy(logits, labels)


def soft_cross_entropy(student_logits: paddle.Tensor, teacher_logits: paddle.Tensor) -> paddle.Tensor:
    """Mean over the batch of -sum_c softmax(teacher)_c log softmax(student)_c; both logits [B, C] (DynaBERT, eq. 4)."""
    target = F.softmax(teacher_logits, axis=-1)
    return -(target * F.log_softmax(student_logits, axis=-1)).sum(-1).mean()


def divergence(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean KL(softmax(teacher) || softmax(student)) of logits [B, C]."""
    log_p, log_q = F.log_softmax(teacher.detach(), axis=-1), F.log_softmax(student, axis=-1)
    return (paddle.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def is_right(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 for the true class, 0 for any other."""
    return (logits.argmax(-1) == labels).astype(logits.dtype)


LOSSES = KindLosses(cross_entropy, soft_cross_entropy, divergence, is_right)
