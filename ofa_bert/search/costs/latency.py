"""Milliseconds of a call, by the latency tables of a device."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import option
from ofa_bert.search.costs.base import Cost, Given
from ofa_bert.search.run_modes import Run
from ofa_bert.submodels.values import SubModelConfig


@dataclass(frozen=True, kw_only=True)
class LatencyBudget:
    max_latency_ms: float | None = option("budget: milliseconds per call, by `latency_table`", None, above=0)


def _of(given: Given, sub_model: SubModelConfig, run: Run | None) -> float | None:
    """Without a run that of the fastest precision."""
    if run is not None:
        return run.latency_ms
    return min((table.predict(sub_model) for table in given.tables.values()), default=None)


COST = Cost(
    "latency_ms",
    limit="max_latency_ms",
    words="latency",
    column="ms",
    axis="latency, ms",
    shown=lambda value: f"{value:.2f}",
    of=_of,
    needs_table=True,
    by_precision=True,
    by_exits=True,
    default=True,
)
