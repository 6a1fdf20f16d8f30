"""What a search over sub-models finds: points, the Pareto front, and the best one within a budget. No Paddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ofa_bert.errors import RunError
from ofa_bert.files.fields import Fields
from ofa_bert.models.record import numbers
from ofa_bert.numerics import undominated
from ofa_bert.search.costs.registry import cost
from ofa_bert.search.run_modes import RunMode, RunModeJson
from ofa_bert.submodels.values import SubModelConfig

Cost = Callable[[SubModelConfig], float]


class More(TypedDict, total=False):
    """What else was found of a sub-model. way, mean_layers, shares: with latency tables. name: of a trained one.

    interval: where its score may really lie (95 %), of those that were evaluated on every held-out example.
    """

    loss: float
    scores: Mapping[str, float]
    interval: list[float]
    way: RunModeJson
    mean_layers: float
    shares: list[float]
    name: str
    others: list[EvaluatedJson]


class EvaluatedJson(TypedDict):
    """`nsga2.Evaluated` as a study keeps it; among `others` the other good ways to run the same sub-model."""

    value: float
    score: float
    costs: Mapping[str, float]
    more: More


def read_evaluated(fields: Fields) -> EvaluatedJson:
    """An evaluation that a study kept; UserError for a field that none has so."""
    costs = fields.inner("costs")
    return {
        "value": fields.number("value"),
        "score": fields.number("score"),
        "costs": {name: costs.number(name, 0) for name in costs.value},
        "more": _more(fields.inner("more")),
    }


def _more(fields: Fields) -> More:
    found = More()
    if "loss" in fields:
        found["loss"] = fields.number("loss")
    if "scores" in fields:
        found["scores"] = numbers(fields.mapping("scores"))
    if "interval" in fields:
        found["interval"] = list(fields.numbers("interval"))
    if "way" in fields:
        found["way"] = RunMode.of(fields.inner("way")).to_json()
    if "mean_layers" in fields:
        found["mean_layers"] = fields.number("mean_layers", 0)
    if "shares" in fields:
        found["shares"] = list(fields.numbers("shares"))
    if "name" in fields:
        found["name"] = fields.text("name")
    if "others" in fields:
        found["others"] = [read_evaluated(each) for each in fields.each("others")]
    return found


@dataclass(frozen=True)
class Point:
    """A sub-model that was evaluated: the value and the cost that are searched, its score and all its costs by name."""

    sub_model: SubModelConfig
    value: float
    cost: float
    score: float
    costs: Mapping[str, float] = field(default_factory=dict)
    more: More = field(default_factory=More)


def precision_of(point: Point) -> str:
    return point.more["way"]["precision"] if "way" in point.more else "fp32"


def in_one_piece(point: Point) -> bool:
    return "way" not in point.more or point.more["way"]["policy"] is None


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in value without costing more; cheapest first, values ascending.

    Of points with the same value and cost the first one stays.
    """
    return undominated(points, lambda point: point.cost, lambda point: point.value)


@dataclass(frozen=True)
class Budget:
    """Limits on costs by name, and the lowest score that will do."""

    limits: Mapping[str, float] = field(default_factory=dict)
    min_score: float | None = None

    def violations(self, costs: Mapping[str, float], score: float) -> tuple[float, ...]:
        """One number per limit, above 0 when it is broken: by which share, or by how much score."""
        found = [costs[name] / most - 1.0 for name, most in self.limits.items()]
        if self.min_score is not None:
            found.append(self.min_score - score)
        return tuple(found)

    def admits(self, costs: Mapping[str, float], score: float) -> bool:
        return all(violation <= 0 for violation in self.violations(costs, score))


def ranked(points: Sequence[Point], budget: Budget) -> list[Point]:
    """The points within the budget, best first: the cheapest when a score was asked for, else the highest value.

    RunError, which says how far the nearest are, when there is none.
    """
    within = [point for point in points if budget.admits(point.costs, point.score)]
    if not within:
        raise RunError(_nothing_fits(points, budget))
    if budget.min_score is not None:
        return sorted(within, key=lambda point: (point.cost, -point.value))
    return sorted(within, key=lambda point: (-point.value, point.cost))


def choose(points: Sequence[Point], budget: Budget) -> Point:
    """The best point within the budget."""
    return ranked(points, budget)[0]


def _nothing_fits(points: Sequence[Point], budget: Budget) -> str:
    lows = {name: min(point.costs[name] for point in points) for name in budget.limits}
    parts = [
        f"`{cost(name).limit}` {most:g}: the smallest found has {lows[name]:g}" for name, most in budget.limits.items()
    ]
    if budget.min_score is not None:
        parts.append(f"`min_score` {budget.min_score:g}: the best found has {max(p.score for p in points):.4f}")
    return "no sub-model keeps within " + "; ".join(parts) + ". Give more room, or `min_width` and `min_depth` less"
