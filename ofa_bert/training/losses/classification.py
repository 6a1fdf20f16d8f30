"""One class of several."""

from __future__ import annotations

from ofa_bert.training.losses.formulas import (
    cross_entropy,
    divergence,
    is_right,
    soft_cross_entropy,
    weighed_cross_entropy,
)
from ofa_bert.training.losses.task import KindLosses

LOSSES = KindLosses(cross_entropy, soft_cross_entropy, divergence, is_right, weighed=weighed_cross_entropy)
