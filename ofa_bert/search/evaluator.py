"""What a search is told of a sub-model: the way of running it that suits the budget best, and its other good ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ofa_bert.exits.outputs import Outputs
from ofa_bert.search.costs.registry import Costs
from ofa_bert.search.front import Budget, More, Point
from ofa_bert.search.nsga2 import Evaluated
from ofa_bert.search.run_modes import RunModes
from ofa_bert.search.scorer import Scorer
from ofa_bert.submodels.values import SubModelConfig


@dataclass(frozen=True)
class Evaluator:
    """Sub-model -> Evaluated. The value is the score less loss_weight * loss: scores on few examples tie."""

    scorer: Scorer
    costs: Costs
    ways: RunModes
    loss_weight: float
    budget: Budget
    cost: str

    def __call__(self, sub_model: SubModelConfig) -> Evaluated:
        found = self.every(sub_model, self.scorer.outputs(sub_model))
        best = suited(found, self.budget, self.cost)
        if len(found) == 1:
            return best
        others = [each.to_json() for each in found if each is not best]
        return dataclasses.replace(best, more={**best.more, "others": others})

    def every(self, sub_model: SubModelConfig, outputs: Outputs, precisions: Sequence[str] = ()) -> list[Evaluated]:
        """Every way in `precisions`, default all; in each precision the model in one piece first.

        outputs: of the scorer's examples.
        """
        found = []
        for run in self.ways.runs(sub_model, outputs, precisions):
            judged = self.scorer.judge(run.logits)
            more: More = {"loss": judged["loss"], "scores": judged["scores"]}
            if self.ways.tables:
                more["way"] = run.way.to_json()
                more["mean_layers"], more["shares"] = run.mean_layers, list(run.shares)
            value = judged["score"] - self.loss_weight * judged["loss"]
            found.append(Evaluated(value, judged["score"], self.costs(sub_model, run), more))
        return found


def suited(found: Sequence[Evaluated], budget: Budget, cost: str) -> Evaluated:
    """Of the ways within the budget the best, or the cheapest when a score was asked for; else the nearest to it."""

    def rank(each: Evaluated) -> tuple[float, ...]:
        beyond = sum(max(0.0, violation) for violation in budget.violations(each.costs, each.score))
        wanted = (each.costs[cost], -each.value) if budget.min_score is not None else (-each.value, each.costs[cost])
        return (beyond, *wanted)

    return min(found, key=rank)


def expanded(point: Point, cost: str) -> list[Point]:
    """The point and one for each other way to run its sub-model."""
    more = point.more.copy()
    others = [Evaluated(**each).point(point.sub_model, cost) for each in more.pop("others", [])]
    return [dataclasses.replace(point, more=more), *others]


def precision_of(point: Point) -> str:
    return point.more["way"]["precision"] if "way" in point.more else "fp32"


def in_one_piece(point: Point) -> bool:
    return "way" not in point.more or point.more["way"]["policy"] is None
