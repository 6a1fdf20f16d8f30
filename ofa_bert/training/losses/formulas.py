"""What several kinds of task are trained for: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
import paddle.nn.functional as F


def cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean cross-entropy of logits [B, C] to int64 labels [B]."""
    return F.cross_entropy(logits, labels)


def weighed_cross_entropy(
    weights: Sequence[float] | None, smoothing: float
) -> Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]:
    """`cross_entropy` in which an example counts by its class's weight, through B all the same.

    smoothing: the share of each label that is spread evenly over all classes (Szegedy et al. 2016, section 7).
    """

    def loss(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        log_p = F.log_softmax(logits, axis=-1)
        found = -paddle.take_along_axis(log_p, labels.unsqueeze(-1), -1).squeeze(-1)  # [B]
        found = (1.0 - smoothing) * found - smoothing * log_p.mean(-1)
        if weights is not None:
            found = found * paddle.gather(paddle.to_tensor(weights, dtype=logits.dtype), labels)
        return found.mean()

    return loss


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


def binary_cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean over texts and labels; logits [B, C], float labels [B, C] of zeros and ones."""
    return F.binary_cross_entropy_with_logits(logits, labels)


def soft_binary_cross_entropy(
    student_logits: paddle.Tensor, teacher_logits: paddle.Tensor, temperature: float = 1.0
) -> paddle.Tensor:
    """Mean over texts and labels of the cross-entropy to the teacher's probabilities; both logits [B, C].

    A temperature divides both; its square keeps the gradients' size (Hinton et al. 2015, section 2).
    """
    target = F.sigmoid(teacher_logits / temperature)
    return temperature**2 * F.binary_cross_entropy_with_logits(student_logits / temperature, target)


def binary_divergence(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean over texts and labels of KL from having the label and not as the teacher says; both logits [B, C]."""
    teacher = teacher.detach()
    return soft_binary_cross_entropy(student, teacher) - soft_binary_cross_entropy(teacher, teacher)


def all_right(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 where every label is on its side of a half, else 0: as a text is as uncertain as its most uncertain label."""
    return ((logits > 0) == (labels > 0.5)).all(-1).astype(logits.dtype)


def squared_error(scores: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Mean squared error of scores [B, 1] against labels [B]."""
    return F.mse_loss(scores.squeeze(-1), labels)


def mean_square(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean squared difference of scores [B, 1], of which both have gradients."""
    return F.mse_loss(student, teacher)


def squared_difference(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean squared difference of scores [B, 1]."""
    return F.mse_loss(student, teacher.detach())


def nearness(scores: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """1 - tanh|error|."""
    return 1 - paddle.tanh(paddle.abs(scores.squeeze(-1) - labels))
