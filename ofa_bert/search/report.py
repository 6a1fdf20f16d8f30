"""What a search leaves to read: the front as JSON, table and picture, beside the uniform grid of the supernet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from ofa_bert.bundle.front import ExitPoint, Front, OperatingPoint
from ofa_bert.drawing import save
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.search.costs import registry
from ofa_bert.search.front import Budget, More, Point
from ofa_bert.search.plots import Searched, front_figure
from ofa_bert.search.run_modes import RunMode
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig

FRONT = "front.json"
PICTURE = "front.png"
WINNER = "winner.json"


class Compared(TypedDict):
    """A uniform sub-model; at_its_cost: the best of the front for as much; as_good: the cheapest that is worth it."""

    name: str
    cost: float
    score: float
    loss: float
    at_its_cost: Mapping[str, float]
    as_good: Mapping[str, float]


class FrontRows(TypedDict):
    """The rows are those of `row`."""

    front: list[Mapping[str, object]]
    grid: list[Mapping[str, object]]
    comparison: list[Compared]


def write_front(
    output: Path, front: Sequence[Point], grid: Sequence[Point], winner: Point | None, supernet: Supernet,
    about: Searched,
) -> FrontRows:  # fmt: skip
    """Write front.json, front.png and, with a winner, winner.json for export_model.py; the rows of results.json.

    winner: None where several were chosen.
    """
    rows: FrontRows = {
        "front": [row(point) for point in front],
        "grid": [row(point) for point in grid],
        "comparison": compare(front, grid),
    }
    place = front.index(winner) if winner in front else None
    points = tuple(operating_point(point) for point in front)
    Front(supernet.space.shape, about.cost, supernet.task.metrics[0], points, place).save(output / FRONT)
    if winner is not None:
        write_json_atomic(output / WINNER, winner.sub_model.to_json())
    save(front_figure(front, grid, winner, about), output / PICTURE)
    return rows


def searched(supernet: Supernet, cost: str, evaluated: int, budget: Budget) -> Searched:
    """What the picture says of a search over this supernet."""
    task = supernet.task
    return Searched(task.name, task.metrics[0], cost, evaluated, supernet.held_out.examples, budget)


def operating_point(point: Point) -> OperatingPoint:
    """A point as whoever runs it reads it."""
    way, more = way_of(point.more), point.more
    exits = None
    if way is not None and way.policy is not None:
        exits = ExitPoint(way.policy, way.ask, tuple(more.get("shares", ())))
    return OperatingPoint(
        point.sub_model,
        point.score,
        "fp32" if way is None else way.precision,
        exits,
        dict(point.costs),
        more.get("loss"),
        mean_layers=more.get("mean_layers"),
        name=more.get("name"),
    )


def row(point: Point) -> dict[str, object]:
    return {
        "sub_model": point.sub_model.to_json(),
        "value": point.value,
        "score": point.score,
        **dict(point.costs),
        **dict(point.more),
    }


def compare(front: Sequence[Point], grid: Sequence[Point]) -> list[Compared]:
    """For each uniform sub-model: the best of the front at its cost, and the cheapest that is worth as much."""
    rows: list[Compared] = []
    for even in grid:
        same_cost = max((p for p in front if p.cost <= even.cost), key=lambda p: p.value, default=even)
        as_good = min((p for p in front if p.value >= even.value), key=lambda p: p.cost, default=even)
        rows.append(
            {
                "name": even.more["name"],
                "cost": even.cost,
                "score": even.score,
                "loss": even.more["loss"],
                "at_its_cost": {"cost": same_cost.cost, "score": same_cost.score, "loss": same_cost.more["loss"]},
                "as_good": {"cost": as_good.cost, "score": as_good.score, "saved": 1.0 - as_good.cost / even.cost},
            }
        )
    return rows


def printable(comparison: Sequence[Compared], searched: str) -> list[dict[str, str]]:
    """The uniform grid against the front, for `reporting.table`. searched: the cost's name."""
    cost = registry.cost(searched)
    return [
        {
            "uniform": found["name"],
            cost.column: cost.shown(found["cost"]),
            "score": f"{found['score']:.4f}",
            "loss": f"{found['loss']:.4f}",
            "front at this cost": f"{found['at_its_cost']['score']:.4f}",
            "its loss": f"{found['at_its_cost']['loss']:.4f}",
            "front as good": cost.shown(found["as_good"]["cost"]),
            "saved": f"{found['as_good']['saved']:.0%}",
        }
        for found in comparison
    ]


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "uniform": "a sub-model of the trained grid, the same width in every layer",
    "score": "of the uniform one, on the held-out examples",
    "loss": "distance of its answers to the largest sub-model's; 0 is the same",
    "front at this cost": "score of the best found that costs no more",
    "its loss": "of that one",
    "front as good": "cost of the cheapest found that is worth as much (score less weighted loss)",
    "saved": "by how much that is cheaper than the uniform one",
}


def described(sub_model: SubModelConfig) -> str:
    """One line: layers with heads and neurons of each."""
    parts = [f"{k}:{h}/{n}" for k, h, n in zip(sub_model.layers, sub_model.heads, sub_model.ffn)]
    return f"{len(parts)} layers (layer:heads/neurons) " + " ".join(parts)


def way_of(found: More) -> RunMode | None:
    """How a point runs its sub-model; None when there was nothing to choose."""
    return RunMode.from_json(found["way"]) if "way" in found else None
