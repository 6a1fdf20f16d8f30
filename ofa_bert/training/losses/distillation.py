"""Distillation losses on hidden states and attention: pure functions of tensors. Those on logits are of a kind."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F


def token_weights(mask: paddle.Tensor) -> paddle.Tensor:
    """Weights [B, T, 1] that sum to 1/B over each sentence's real tokens and are 0 on padding.

    `mask` [B, T] is 1.0 on tokens. With these weights a loss depends neither on how far a batch was padded nor on
    which process holds which sentence.
    """
    per_sentence = mask / mask.sum(1, keepdim=True) / mask.shape[0]  # [B, T]
    return per_sentence.unsqueeze(-1)  # [B, T, 1]


def hidden_loss(
    student: Sequence[paddle.Tensor], teacher: Sequence[paddle.Tensor], weights: paddle.Tensor
) -> paddle.Tensor:
    """Sum over matched layers of the mean squared difference of hidden states [B, T, H] on real tokens."""
    total = 0.0
    for own, wanted in zip(student, teacher):
        difference = own - wanted  # [B, T, H]
        total = total + (difference * difference * weights).sum() / own.shape[-1]
    return total


def match_layers(kept: Sequence[int], num_layers: int) -> tuple[int, ...]:
    """For each kept layer, the teacher layer whose output it must reproduce.

    A kept layer stands in for itself and the dropped layers that follow it, so its output is matched to what the
    teacher feeds the next kept layer; the last one is matched to the teacher's last. With nothing dropped this is the
    identity. Layers dropped before the first kept one are its own to make up for.
    """
    following = [*kept[1:], num_layers]
    return tuple(layer - 1 for layer in following)


def spread_layers(own: int, teacher: int) -> tuple[int, ...]:
    """For each of a student's `own` layers, the layer of its teacher at the same share of the depth; last to last."""
    return tuple(max(0, (index + 1) * teacher // own - 1) for index in range(own))


def attention_loss(
    student: Sequence[paddle.Tensor], teacher: Sequence[paddle.Tensor], weights: paddle.Tensor
) -> paddle.Tensor:
    """Sum over matched layers of 1 - cosine between the attention [B, heads, T, T] of each real token, mean over heads.

    Where the two have different numbers of heads, their means over heads are compared. `weights` as in `hidden_loss`.
    """
    total = 0.0
    for own, wanted in zip(student, teacher):
        if own.shape[1] != wanted.shape[1]:
            own, wanted = own.mean(1, keepdim=True), wanted.mean(1, keepdim=True)  # [B, 1, T, T]
        apart = (1.0 - F.cosine_similarity(own, wanted, axis=-1)).mean(1)  # [B, T]
        total = total + (apart * weights.squeeze(-1)).sum()
    return total
