"""Parameters of the extracted sub-model."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import option
from ofa_bert.reporting import millions
from ofa_bert.search.costs.base import Cost
from ofa_bert.submodels.counting import count_parameters


@dataclass(frozen=True, kw_only=True)
class ParametersBudget:
    max_params: float | None = option("budget: parameters, for example 20e6", None, above=0)


COST = Cost(
    "parameters",
    limit="max_params",
    words="parameters",
    column="parameters",
    axis="parameters, millions",
    shown=lambda value: millions(int(value)),
    of=lambda given, sub_model, run: count_parameters(given.shape, sub_model),
    scale=1e6,
)
