"""A tag for every word. A loss is the mean over texts of its mean over the tokens that count, as hidden states' is:

then it depends neither on how far a batch was padded nor on which process holds which text.
"""

from __future__ import annotations

from functools import partial

import paddle
import paddle.nn.functional as F

from ofa_bert.tasks.kinds.tokens import IGNORED
from ofa_bert.training.losses.task import KindLosses


def _mean(values: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Of values [B, T] at the tokens that count by labels [B, T]; a text without any counts 0."""
    counts = (labels != IGNORED).astype(values.dtype)
    return (values * counts / counts.sum(1, keepdim=True).clip(min=1.0)).sum() / values.shape[0]


def cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Of logits [B, T, C] to int64 tags [B, T]."""
    each = F.cross_entropy(logits, labels.unsqueeze(-1), reduction="none", ignore_index=IGNORED)  # [B, T, 1]
    return _mean(each.squeeze(-1), labels)


def soft_cross_entropy(student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """-sum_c softmax(teacher)_c log softmax(student)_c of logits [B, T, C]; labels [B, T] say which tokens count."""
    return _mean(-(F.softmax(teacher, axis=-1) * F.log_softmax(student, axis=-1)).sum(-1), labels)


def divergence(student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """KL(softmax(teacher) || softmax(student)) of logits [B, T, C] at the tokens that count by labels [B, T]."""
    log_p, log_q = F.log_softmax(teacher.detach(), axis=-1), F.log_softmax(student, axis=-1)
    return _mean((paddle.exp(log_p) * (log_p - log_q)).sum(-1), labels)


def share_right(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Share [B] of the words whose tag is right."""
    counts = (labels != IGNORED).astype(logits.dtype)
    right = (logits.argmax(-1) == labels).astype(logits.dtype) * counts
    return right.sum(1) / counts.sum(1).clip(min=1.0)


def _everywhere(first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
    raise TypeError("which tokens count is said by the labels of a batch: take the losses of that batch")


def of_batch(labels: paddle.Tensor) -> KindLosses:
    """The losses of a batch with these labels [B, T]."""
    logit = partial(soft_cross_entropy, labels=labels)
    return KindLosses(cross_entropy, logit, partial(divergence, labels=labels), share_right)


LOSSES = KindLosses(cross_entropy, _everywhere, _everywhere, share_right, of_batch)
