"""Any number of labels at once."""

from __future__ import annotations

from ofa_bert.training.losses.formulas import (
    all_right,
    binary_cross_entropy,
    binary_divergence,
    soft_binary_cross_entropy,
)
from ofa_bert.training.losses.task import KindLosses

LOSSES = KindLosses(binary_cross_entropy, soft_binary_cross_entropy, binary_divergence, all_right)
