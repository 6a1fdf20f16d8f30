"""The costs of a sub-model by name. A new one is a file beside this one and its name in the three lines below."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.search.costs import file_size, flops, latency, parameters
from ofa_bert.search.costs.base import Cost, Given
from ofa_bert.search.run_modes import Run
from ofa_bert.submodels.values import SubModelConfig

_EVERY = {each.COST.name: each.COST for each in (latency, parameters, flops, file_size)}


# Fields of the last base stand first in the help.
@dataclass(frozen=True, kw_only=True)
class Budgets(file_size.FileBudget, flops.FlopsBudget, parameters.ParametersBudget, latency.LatencyBudget):
    """The options of all costs."""

    def limits(self) -> dict[str, float]:
        """The budgets that are given, by the name of the cost."""
        given = {name: getattr(self, each.limit) for name, each in _EVERY.items()}
        return {name: value for name, value in given.items() if value is not None}


COSTS: tuple[str, ...] = tuple(_EVERY)


def cost(name: str) -> Cost:
    return _EVERY[name]


def every() -> tuple[Cost, ...]:
    return tuple(_EVERY.values())


def default(has_table: bool) -> str:
    """What is minimised when nothing else is said."""
    return next(each.name for each in every() if each.default and (has_table or not each.needs_table))


@dataclass(frozen=True)
class Costs:
    """All costs of a sub-model by name, but those that what is given says nothing of."""

    given: Given

    def __call__(self, sub_model: SubModelConfig, run: Run | None = None) -> dict[str, float]:
        """Of running it so, or without a run in the cheapest way in one piece."""
        found = {each.name: each.of(self.given, sub_model, run) for each in every()}
        return {name: value for name, value in found.items() if value is not None}
