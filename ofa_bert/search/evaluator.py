"""What a search is told of a sub-model: the way of running it that suits the budget best, and its other good ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ofa_bert.exits.outputs import Outputs
from ofa_bert.progress import Progress
from ofa_bert.search.costs.registry import Costs
from ofa_bert.search.deployed import Engine
from ofa_bert.search.front import Budget, More, Point, in_one_piece, pareto_front, precision_of
from ofa_bert.search.nsga2 import Evaluated
from ofa_bert.search.run_modes import RunModes
from ofa_bert.search.scorer import Scorer
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.intervals import wilson

_FINAL = 40  # points of the front that are evaluated on every held-out example, at most
_EXPORTED = 16  # of them in a precision that must be exported for it, which takes ten times as long


@dataclass(frozen=True)
class Evaluator:
    """Sub-model -> Evaluated. The value is the score less loss_weight * loss: scores on few examples tie.

    intervals: say where the score may really lie too, which takes longer than the score where that is no accuracy.
    """

    scorer: Scorer
    costs: Costs
    ways: RunModes
    loss_weight: float
    budget: Budget
    cost: str
    intervals: bool = False

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
            if self.intervals:
                more["interval"] = self.scorer.interval(run.logits)
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


# Points in one precision, and how many may be chosen of them -> the sub-models worth evaluating in full.
Promising = Callable[[Sequence[Point], int], Sequence[SubModelConfig]]


@dataclass(frozen=True)
class InFull:
    """Sub-models on every held-out example, each in the precision that it would run in. `engines` by precision."""

    supernet: Supernet
    evaluator: Evaluator
    engines: Mapping[str, Engine]

    @cached_property
    def scorer(self) -> Scorer:
        own = self.evaluator.scorer
        return own if len(own.encoded) == len(self.supernet.held_out) else self.supernet.scorer()

    def outputs(self, sub_model: SubModelConfig, precision: str) -> Outputs:
        engine = self.engines.get(precision)
        return self.scorer.outputs(sub_model) if engine is None else engine.outputs(sub_model, self.supernet.held_out)

    def points(self, sub_model: SubModelConfig, precision: str) -> list[Point]:
        """One for each way to run it; the one in one piece first."""
        judge = dataclasses.replace(self.evaluator, scorer=self.scorer, intervals=True)
        found = judge.every(sub_model, self.outputs(sub_model, precision), (precision,))
        return [each.point(sub_model, judge.cost) for each in found]

    @property
    def _is_accuracy(self) -> bool:
        """Whose interval follows from the score alone, so that nothing is evaluated again for it."""
        return self.supernet.task.metrics[0] == "accuracy"

    def _of_accuracy(self, point: Point) -> Point:
        found = list(wilson(point.score, len(self.scorer.labels)))
        return dataclasses.replace(point, more={**point.more, "interval": found})

    def front(self, points: Sequence[Point], promising: Promising) -> tuple[list[Point], list[Point]]:
        """(all points of the promising sub-models and of the trained ones, those of the trained ones in one piece)."""
        cost = self.evaluator.cost
        tried: dict[SubModelConfig, list[Point]] = {p.sub_model: expanded(p, cost) for p in points}
        trained = {sub_model: name for name, sub_model in self.supernet.space.sub_models().items()}
        found: list[Point] = []
        grid: list[Point] = []
        for precision in self.evaluator.ways.precisions:
            alike = precision not in self.engines and self.scorer is self.evaluator.scorer and self._is_accuracy
            those = [p for several in tried.values() for p in several if precision_of(p) == precision]
            chosen = dict.fromkeys([*trained, *promising(those, _EXPORTED if precision in self.engines else _FINAL)])
            for sub_model in Progress(
                list(chosen), desc=f"front on all held-out examples, {precision}", unit="sub-model"
            ):
                if alike and sub_model in tried:
                    points_of = [self._of_accuracy(p) for p in tried[sub_model] if precision_of(p) == precision]
                else:
                    points_of = self.points(sub_model, precision)
                if sub_model in trained:
                    (entire,) = [p for p in points_of if in_one_piece(p)]
                    grid.append(_named(entire, trained[sub_model], precision))
                    points_of = [grid[-1], *(p for p in points_of if p is not entire)]
                found += points_of
        return found, grid


def near_budget(budget: Budget) -> Promising:
    """The sub-models of the front, each once: half next to the budget, where the winner is, half spread."""

    def promising(points: Sequence[Point], most: int) -> list[SubModelConfig]:
        front = pareto_front(points)
        within = [p for p in front if budget.admits(p.costs, p.score)]
        # The winner is the dearest that keeps a limit, or the cheapest that keeps a score.
        near = within[: most // 2] if budget.min_score is not None else within[-(most // 2) :]
        return list(dict.fromkeys(p.sub_model for p in [*near, *front[:: 1 + 2 * len(front) // most]]))

    return promising


def _named(point: Point, name: str, precision: str) -> Point:
    shown = name if precision == "fp32" else f"{name} {precision}"
    return dataclasses.replace(point, more={**point.more, "name": shown})
