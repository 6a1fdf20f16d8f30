"""The candidates that a budget leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ofa_bert.errors import RunError
from ofa_bert.search.costs.registry import cost as cost_named

C = TypeVar("C")


def within_limits(
    candidates: list[C], limits: Mapping[str, float], costs: Mapping[str, Callable[[C], float]]
) -> list[C]:
    """The candidates that keep every limit. RunError, which says what the smallest has, when none does."""
    within = [c for c in candidates if all(costs[name](c) <= most for name, most in limits.items())]
    if not within:
        lows = {name: min(map(costs[name], candidates)) for name in limits}
        parts = [
            f"`{cost_named(name).limit}` {most:g}: the smallest has {lows[name]:g}" for name, most in limits.items()
        ]
        raise RunError(f"none of {len(candidates)} candidates keeps within {'; '.join(parts)}. Give more room")
    return within
