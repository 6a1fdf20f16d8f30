"""The picture of a search: what was found, what it costs, the budget, and how sure the scores are. No Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ofa_bert import drawing
from ofa_bert.drawing import Named, look
from ofa_bert.reporting import pyplot
from ofa_bert.search.costs import registry
from ofa_bert.search.front import Budget, Point
from ofa_bert.search.run_modes import RunMode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS = "distance to the supernet's outputs"


@dataclass(frozen=True)
class Searched:
    """What a search was about. cost: what it minimised; evaluated: sub-models; examples: held out, of the front."""

    task: str
    metric: str
    cost: str
    evaluated: int
    examples: int
    budget: Budget = field(default_factory=Budget)


def front_figure(front: Sequence[Point], grid: Sequence[Point], winner: Point | None, about: Searched) -> Figure:
    """Score and loss against cost: the front with its intervals, the uniform grid by name, the winner, the budget."""
    figure, panels = pyplot().subplots(1, 2, figsize=(13.5, 5.6), layout="constrained")
    score, loss = panels
    for axis, values in ((score, [p.score for p in front]), (loss, [p.more["loss"] for p in front])):
        axis.plot([_cost(p, about) for p in front], values, color=drawing.GREY, linewidth=0.8, zorder=1)
        axis.set(xlabel=registry.cost(about.cost).axis)
        axis.grid(alpha=0.3)
    score.set(ylabel=f"{about.metric}, held out")
    loss.set(ylabel=_LOSS)
    _draw_points(score, loss, front, grid, about)
    if winner is not None:
        for axis, value in ((score, winner.score), (loss, winner.more["loss"])):
            axis.plot(_cost(winner, about), value, "*", markersize=15, color="black", label="winner", zorder=4)
    beyond = _draw_budget(score, loss, about)
    figure.legend(handles=drawing.handles(panels), loc="outside right upper", fontsize=8)
    drawing.title(figure, f"{about.task}: {about.metric} on {about.examples} held-out training examples")
    drawing.note(figure, _notes(front, grid, about) + beyond)
    _name(score, loss, front, grid, winner, about)
    return figure


def _cost(point: Point, about: Searched) -> float:
    return point.cost / registry.cost(about.cost).scale


def _kinds(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points by precision, and by whether samples leave early; all under "" when there was nothing to choose."""
    found: dict[str, list[Point]] = {}
    for point in points:
        way = RunMode.from_json(point.more["way"]) if "way" in point.more else None
        kind = "" if way is None else f", {way.precision}" + (" with exits" if way.policy else "")
        found.setdefault(kind, []).append(point)
    return found


def _draw_points(score: Axes, loss: Axes, front: Sequence[Point], grid: Sequence[Point], about: Searched) -> None:
    for number, (kind, points) in enumerate(_kinds(front).items()):
        own, costs = look(number), [_cost(p, about) for p in points]
        scores = [p.score for p in points]
        known = [p for p in points if "interval" in p.more]
        if known:
            bars = list(zip(*(drawing.spread(p.more["interval"][0], p.score, p.more["interval"][1]) for p in known)))
            places = [_cost(p, about) for p in known], [p.score for p in known]
            score.errorbar(
                *places, yerr=bars, fmt="none", ecolor=own.color, elinewidth=0.7, capsize=2, alpha=0.6, zorder=2
            )
        for axis, values in ((score, scores), (loss, [p.more["loss"] for p in points])):
            axis.plot(
                costs, values, own.marker, markersize=5, color=own.color, zorder=3, label=f"front{kind} ({len(points)})"
            )
    for marker, (kind, points) in zip("sD^v", _kinds(grid).items()):
        for axis, values in ((score, [p.score for p in points]), (loss, [p.more["loss"] for p in points])):
            axis.plot(
                [_cost(p, about) for p in points], values, marker, mfc="none", color="0.3", markersize=8,
                label=f"uniform grid{kind} ({len(points)})",
            )  # fmt: skip


def _draw_budget(score: Axes, loss: Axes, about: Searched) -> list[str]:
    """The lines of what was asked for; what no line can show, in words."""
    words = []
    for name, most in about.budget.limits.items():
        cost = registry.cost(name)
        unit = "" if cost.column == cost.words else f" {cost.column}"
        text = f"budget: {cost.words} {cost.shown(most)}{unit}"
        if name != about.cost:
            words.append(f"{text}, which is not on this axis.")
            continue
        outside = [drawing.limit(axis, most / cost.scale, text) for axis in (score, loss)]
        words += [f"{found}." for found in outside[:1] if found]
    if about.budget.min_score is not None:
        found = drawing.limit(score, about.budget.min_score, f"lowest score {about.budget.min_score:g}", upright=False)
        words += [f"{found}."] if found else []
    return words


def _notes(front: Sequence[Point], grid: Sequence[Point], about: Searched) -> list[str]:
    unsure = sum("interval" not in p.more for p in front)
    sure = "Bars: where a score may really lie (95 %), each by itself" if unsure < len(front) else "No intervals known"
    some = f"; {unsure} of the front have none" if 0 < unsure < len(front) else ""
    return [
        f"{about.evaluated} sub-models evaluated, {len(front)} on the front, {len(grid)} of the uniform grid."
        f" {sure}{some}. The front was chosen by these scores, so they flatter a little; dev does not."
    ]


def _name(
    score: Axes, loss: Axes, front: Sequence[Point], grid: Sequence[Point], winner: Point | None, about: Searched
) -> None:
    others = [*front, *([winner] if winner is not None else [])]
    for axis, of in ((score, _score), (loss, _loss)):
        drawing.name_points(
            axis,
            [Named(_cost(p, about), of(p), p.more["name"]) for p in grid],
            [(_cost(p, about), of(p)) for p in others],
        )


def _score(point: Point) -> float:
    return point.score


def _loss(point: Point) -> float:
    return point.more["loss"]
