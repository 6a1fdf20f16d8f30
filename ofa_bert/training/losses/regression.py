"""A number."""

from __future__ import annotations

from ofa_bert.training.losses.formulas import mean_square, nearness, squared_difference, squared_error
from ofa_bert.training.losses.task import KindLosses

LOSSES = KindLosses(squared_error, mean_square, squared_difference, nearness)
