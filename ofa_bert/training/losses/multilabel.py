"""Any number of labels at once."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from ofa_bert.training.losses.task import KindLosses


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


LOSSES = KindLosses(binary_cross_entropy, soft_binary_cross_entropy, binary_divergence, all_right)
