"""What a search leaves: the sub-models that are worth having, each with how it runs and what it costs. No Paddle.

A front is a file of its own, for whoever chooses a sub-model for a device or moves between them under load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ofa_bert.bundle.entries import PRECISIONS
from ofa_bert.bundle.shape_fields import shape_of
from ofa_bert.errors import UserError
from ofa_bert.exits.policy import Policy, check_policy
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import ModelShape, SubModelConfig

FORMAT = 1
LATENCY, PARAMETERS = "latency_ms", "parameters"  # names of costs
_CURE = "python -m ofa_bert search makes one"
_MOST_MS = 1e9
_COST = re.compile("[A-Za-z_]{1,60}")


@dataclass(frozen=True)
class ExitPoint:
    """How samples leave early: by which policy, asked at which places, and which share of them leaves at each exit.

    shares [E + 1]: of the held-out examples, the last exit's included; empty where it is not known.
    """

    policy: Policy
    ask: tuple[int, ...]
    shares: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, fields: Fields) -> ExitPoint:
        ask, shares = fields.wholes("ask", 0), fields.numbers("shares", default=())
        if not ask or list(ask) != sorted(set(ask)):
            fields.wrong("ask", "places of exits, ascending")
        if shares and (ask[-1] >= len(shares) - 1 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-3):
            fields.wrong("shares", "a share of the samples for each exit, the last one included, 1 together")
        return cls(Policy.read(fields.inner("policy")), ask, shares)

    def to_json(self) -> dict[str, object]:
        return {"policy": self.policy.to_json(), "ask": list(self.ask), "shares": list(self.shares)}


@dataclass(frozen=True)
class OperatingPoint:
    """One way to run a sub-model, and what it gives.

    costs: by name, as a search knows them, LATENCY and PARAMETERS among them: predicted or counted.
    loss: distance to the supernet's outputs.
    measured_ms: of a call on the device itself.
    mean_layers: that run for a sample.
    name: of a sub-model that was trained as such.

    >>> from ofa_bert import Front
    >>> point = Front.load("front.json").points[0]
    >>> point.sub_model.heads, point.precision, point.score, point.latency_ms
    ((1, 2), 'int8', 0.8, 2.2)
    """

    sub_model: SubModelConfig
    score: float
    precision: str = "fp32"
    exits: ExitPoint | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    measured_ms: float | None = None
    mean_layers: float | None = None
    name: str | None = None

    @property
    def predicted_ms(self) -> float | None:
        """Of a call, by a latency table; with exits the mean over samples."""
        return self.costs.get(LATENCY)

    @property
    def latency_ms(self) -> float | None:
        """Of a call: as measured, else as predicted."""
        return self.predicted_ms if self.measured_ms is None else self.measured_ms

    @property
    def parameters(self) -> int | None:
        count = self.costs.get(PARAMETERS)
        return None if count is None else int(count)

    @classmethod
    def from_json(cls, fields: Fields) -> OperatingPoint:
        made = cls(
            fields.made("sub_model", SubModelConfig.from_json),
            fields.number("score"),
            fields.text("precision", PRECISIONS),
            ExitPoint.from_json(fields.inner("exits")) if "exits" in fields else None,
            _costs(fields.inner("costs")),
            fields.number("loss", default=None),
            fields.number("measured_ms", 0, _MOST_MS, default=None),
            fields.number("mean_layers", 0, default=None),
            fields.text("name", default=None),
        )
        depth = made.sub_model.depth
        if made.mean_layers is not None and made.mean_layers > depth:
            fields.wrong("mean_layers", f"at most the {depth} layers that there are")
        if made.exits is not None and max(made.exits.ask[-1] + 2, len(made.exits.shares)) > depth:
            fields.wrong("exits", f"exits of a model with {depth} layers")
        return made

    def to_json(self) -> dict[str, object]:
        return {
            "sub_model": self.sub_model.to_json(),
            "score": self.score,
            "precision": self.precision,
            "exits": None if self.exits is None else self.exits.to_json(),
            "costs": dict(self.costs),
            "loss": self.loss,
            "measured_ms": self.measured_ms,
            "mean_layers": self.mean_layers,
            "name": self.name,
        }


@dataclass(frozen=True)
class Front:
    """The operating points of one search, cheapest first; `cost` names the cost that they are ordered by.

    shape: of the supernet that all sub-models are parts of.
    winner: its place among the points; None: none was chosen.

    A search writes it as front.json; `load` raises UserError for a file that is none.

    >>> from ofa_bert import Front
    >>> front = Front.load("front.json")
    >>> front.cost, [point.costs[front.cost] for point in front.points]
    ('latency_ms', [2.0, 3.0, 5.0])
    >>> front.within(4.0).score  # of the best point that costs at most 4 ms
    0.9
    """

    shape: ModelShape
    cost: str
    metric: str
    points: tuple[OperatingPoint, ...]
    winner: int | None = None

    def __post_init__(self) -> None:
        """ValueError for points that are no front."""
        missing = [point for point in self.points if self.cost not in point.costs]
        if not self.points or missing:
            raise ValueError(f"a point without the cost {self.cost}" if missing else "no points")
        values = [point.costs[self.cost] for point in self.points]
        if values != sorted(values):
            raise ValueError(f"points that do not ascend in {self.cost}")
        if self.winner is not None and not 0 <= self.winner < len(self.points):
            raise ValueError(f"winner {self.winner} of {len(self.points)} points")

    def within(self, most: float) -> OperatingPoint | None:
        """The best point that costs at most that much; None when even the cheapest costs more."""
        affordable = [point for point in self.points if point.costs[self.cost] <= most]
        return max(affordable, key=lambda point: point.score, default=None)

    @classmethod
    def from_json(cls, value: object, where: str = "the front") -> Front:
        """What `to_json` gave; UserError, which begins with `where`, for any fault."""
        fields = Fields(value, where, _CURE)
        if fields.whole("format") != FORMAT:
            raise UserError(f"{where}: front of format {shown(fields.value['format'])}; search again")
        shape = shape_of(fields.inner("shape"))
        points = tuple(OperatingPoint.from_json(each) for each in fields.each("points"))
        for place, point in enumerate(points):
            try:
                point.sub_model.check_fits(shape)
            except UserError as error:
                raise UserError(f"{where}, points {place}: {error}; {_CURE}") from error
            if point.exits is not None:
                _check_exits(fields.each("points")[place].inner("exits"), point.exits, shape)
        winner = fields.whole("winner", default=None)
        try:
            return cls(shape, fields.text("cost"), fields.text("metric"), points, winner)
        except ValueError as error:
            raise UserError(f"{where}: has {shown(str(error))}; {_CURE}") from error

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "shape": self.shape.to_json(),
            "cost": self.cost,
            "metric": self.metric,
            "winner": self.winner,
            "points": [point.to_json() for point in self.points],
        }

    def save(self, path: str | Path) -> None:
        write_json_atomic(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Front:
        """UserError when the file is no front."""
        return cls.from_json(read_json(path, finite=True), str(path))


def _check_exits(fields: Fields, exits: ExitPoint, shape: ModelShape) -> None:
    if not shape.num_labels:
        raise UserError(f"{fields.where}: the model has no outputs to leave with; {_CURE}")
    policy = exits.policy
    check_policy(fields.inner("policy"), policy, policy.kind, shape.num_labels, exits.ask[-1] + 1)


def _costs(fields: Fields) -> dict[str, float]:
    for name in fields.value:
        if not _COST.fullmatch(name):
            raise UserError(f"{fields.where}: has {shown(name)}, a cost is called by a word; {fields.cure}")
    return {name: fields.number(name, 0) for name in fields.value}
