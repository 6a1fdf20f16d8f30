"""What exits are trained for: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from ofa_bert.numerics import Floats
from ofa_bert.training.losses.task import KindLosses


def exit_loss(
    logits: paddle.Tensor, labels: paddle.Tensor, last: paddle.Tensor, share: float, losses: KindLosses
) -> paddle.Tensor:
    """(1 - share) * loss against the labels + share * distance from the last exit's answer [B, C].

    Share 0 is DeeBERT's and PABEE's loss, share 1 FastBERT's and GEEP's.
    """
    total = 0.0
    if share < 1:
        total = total + (1 - share) * losses.task(logits, labels)
    if share > 0:
        total = total + share * losses.distance(logits, last)
    return total


def certainty_loss(
    certainty: paddle.Tensor,
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    losses: KindLosses,
    label_weights: Floats | None = None,
) -> paddle.Tensor:
    """Mean squared error of certainty [B] against how right logits [B, C] are (BERxiT); these get no gradient.

    label_weights: as of `data.encoding.batches.Batch`.
    """
    right = losses.right(logits.detach(), labels).astype(certainty.dtype)
    if label_weights is None:
        return F.mse_loss(certainty, right)
    return ((certainty - right) ** 2 * paddle.to_tensor(label_weights, dtype=certainty.dtype)).mean()


def weights(kind: str, layers_run: Sequence[int]) -> list[float]:
    """Weights that sum to 1 over the exits: all alike, or growing with the layers run (PABEE)."""
    raw = [1.0] * len(layers_run) if kind == "uniform" else [float(count) for count in layers_run]
    return [value / sum(raw) for value in raw]
