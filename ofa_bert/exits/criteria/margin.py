"""How far the likeliest class is ahead of the next one."""

from __future__ import annotations

import numpy as np

from ofa_bert.exits.criteria.base import Compared
from ofa_bert.numerics import Floats, log_softmax


def lacking_margin(logits: Floats) -> Floats:
    """1 - (largest - second largest probability) [...] of logits [..., C], float64: 0 when sure, 1 for a tie."""
    if np.shape(logits)[-1] < 2:
        raise ValueError("a margin needs at least two classes")
    second, first = np.moveaxis(np.partition(np.exp(log_softmax(logits)), -2, axis=-1)[..., -2:], -1, 0)
    return np.asarray(1.0 - (first - second))


CRITERION = Compared(
    "margin",
    "1 - lead of the likeliest class over the next, 0 to 1",
    uncertainty=lambda logits, certainty: lacking_margin(logits),
)
