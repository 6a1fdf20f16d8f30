"""Floating-point operations of one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import option
from ofa_bert.search.costs.base import Cost
from ofa_bert.submodels.counting import count_flops


@dataclass(frozen=True, kw_only=True)
class FlopsBudget:
    max_flops: float | None = option("budget: FLOPs of one sentence of 128 tokens, for example 2.5e9", None, above=0)


COST = Cost(
    "flops",
    limit="max_flops",
    words="FLOPs",
    column="GFLOPs",
    axis="GFLOPs",
    shown=lambda value: f"{value / 1e9:.2f}",
    of=lambda given, sub_model, run: count_flops(given.shape, sub_model),
    scale=1e9,
    default=True,
)
