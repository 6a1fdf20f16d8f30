"""What a masked-LM is trained for: pure functions of tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F

from ofa_bert.data.corpus import NOT_MASKED
from ofa_bert.models.operators import log_softmax


class Masked(NamedTuple):
    """The masked tokens of a batch: their places [M] in it, true ids [M], and weights [M] that sum to 1.

    Every text weighs the same, and its masked tokens share that evenly: so a loss does not depend on how texts are
    split over processes.
    """

    places: paddle.Tensor
    labels: paddle.Tensor
    weights: paddle.Tensor


def masked_of(labels: paddle.Tensor) -> Masked:
    """From labels [B, T]. Where no text has a word to mask there is one token, of weight 0."""
    array = labels.numpy()
    chosen = array != NOT_MASKED  # [B, T]
    if not chosen.any():
        zero = paddle.zeros([1], dtype="int64")
        return Masked(zero, zero, paddle.zeros([1], dtype="float32"))
    per_text = chosen.sum(1)
    weights = np.repeat(1.0 / np.maximum(per_text, 1), per_text) / len(array)
    places = np.flatnonzero(chosen.ravel())
    return Masked(
        paddle.to_tensor(places), paddle.to_tensor(array[chosen]), paddle.to_tensor(weights.astype("float32"))
    )


def mlm_loss(logits: paddle.Tensor, masked: Masked) -> paddle.Tensor:
    """Weighted cross-entropy of logits [M, V] to the masked tokens."""
    return (F.cross_entropy(logits, masked.labels, reduction="none").squeeze(-1) * masked.weights).sum()


def kd_loss(student: paddle.Tensor, teacher: paddle.Tensor, masked: Masked, temperature: float) -> paddle.Tensor:
    """T^2 * weighted KL(teacher || student) of logits [M, V] softened by the temperature T (Hinton et al. 2015)."""
    wanted, found = log_softmax(teacher / temperature), log_softmax(student / temperature)
    divergence = (wanted.exp() * (wanted - found)).sum(-1)  # [M]
    return temperature**2 * (divergence * masked.weights).sum()
