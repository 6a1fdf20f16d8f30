"""Answers in contexts: the first and the last token, each one of the tokens of its window that may be one.

Means over windows, so that processes can be averaged; labels [B, T] as of tasks/kinds/answers.py.
"""

from __future__ import annotations

from functools import partial

import paddle
import paddle.nn.functional as F

from ofa_bert.numerics import MASKED
from ofa_bert.tasks.kinds.answers import ALWAYS, ENDS, MAY_LACK, STARTS
from ofa_bert.tasks.kinds.tokens import IGNORED
from ofa_bert.training.losses.task import KindLosses


def _among(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Logits [B, T, 2] with what no softmax sees where a token does not count."""
    counts = (labels != IGNORED).unsqueeze(-1).expand_as(logits)
    return paddle.where(counts, logits, paddle.full_like(logits, MASKED))


def _right(labels: paddle.Tensor) -> paddle.Tensor:
    """[B, T, 2] of 0 and 1: where answers begin and end."""
    both = labels == STARTS + ENDS
    marks = [paddle.logical_or(labels == one, both) for one in (STARTS, ENDS)]
    return paddle.stack(marks, axis=-1).astype(paddle.get_default_dtype())


def _mean(values: paddle.Tensor) -> paddle.Tensor:
    """Of values [B, T, 2] the sum over tokens, mean of start and end and of windows."""
    return values.sum() / (2 * values.shape[0])


def cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Of logits [B, T, 2] to the labels [B, T]."""
    log_p = F.log_softmax(_among(logits, labels), axis=1)
    return _mean(-(_right(labels).astype(log_p.dtype) * log_p))


def soft_cross_entropy(student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """To the teacher's distribution over the tokens that count by labels [B, T]."""
    wanted = F.softmax(_among(teacher, labels), axis=1)
    return _mean(-(wanted * F.log_softmax(_among(student, labels), axis=1)))


def divergence(student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """KL(teacher || student) over the same tokens."""
    log_p = F.log_softmax(_among(teacher.detach(), labels), axis=1)
    return _mean(paddle.exp(log_p) * (log_p - F.log_softmax(_among(student, labels), axis=1)))


def both_right(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 for each window [B] whose likeliest start and end are the right ones, else 0."""
    same = _among(logits, labels).argmax(axis=1) == _right(labels).argmax(axis=1)  # [B, 2]
    return same.all(axis=-1).astype(logits.dtype)


def _everywhere(first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
    raise TypeError("which tokens count is said by the labels of a batch: take the losses of that batch")


def of_batch(labels: paddle.Tensor) -> KindLosses:
    """The losses of a batch with these labels [B, T]."""
    logit = partial(soft_cross_entropy, labels=labels)
    return KindLosses(cross_entropy, logit, partial(divergence, labels=labels), both_right)


_LOSSES = KindLosses(cross_entropy, _everywhere, _everywhere, both_right, of_batch)
LOSSES = {ALWAYS: _LOSSES, MAY_LACK: _LOSSES}
