"""The curve of thresholds that an exit policy keeps: what each may cost, so that one can be chosen where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ofa_bert.errors import UserError
from ofa_bert.exits.policy import read_ask
from ofa_bert.exits.promise import promised
from ofa_bert.exits.sweep import Row
from ofa_bert.files.fields import Fields


@dataclass(frozen=True)
class CurvePoint:
    """A threshold with the exits that are asked, and what it did on the held-out part.

    drop: of the score, as measured; at_most: as promised.
    """

    threshold: float
    ask: tuple[int, ...]
    score: float
    mean_layers: float
    drop: float
    at_most: float


@dataclass(frozen=True)
class KeptCurve:
    """The most careful point first, which is without early exits. confidence: of every point's promise."""

    metric: str
    examples: int
    confidence: float
    points: tuple[CurvePoint, ...]

    @classmethod
    def of(
        cls, metric: str, examples: int, confidence: float, rows: Sequence[Row], bounds: Sequence[float]
    ) -> KeptCurve:
        """Of the rows of a sweep with what each promises, the row without early exits first."""
        full = rows[0]["score"]
        points = (
            CurvePoint(
                float(row["threshold"]), tuple(row["ask"]), float(row["score"]), float(row["mean_layers"]),
                float(full - row["score"]), float(bound),
            )
            for row, bound in zip(rows, bounds)
        )  # fmt: skip
        return cls(metric, examples, confidence, tuple(sorted(points, key=lambda point: -point.mean_layers)))

    def within(self, drop: float) -> CurvePoint:
        """The point that runs the fewest layers of those that promise the drop; UserError when none does."""
        kept = self.points[1 : 1 + promised([point.at_most for point in self.points[1:]], drop)]
        if not kept:
            least = self.points[1].at_most if len(self.points) > 1 else 1.0
            raise UserError(
                f"exit_drop {drop:g}: the {self.examples} held-out texts that the policy was chosen on promise"
                f" {least:.4g} of {self.metric} at the least ({100 * self.confidence:g} %); allow as much, or choose"
                " the policy on more held-out texts"
            )
        return min(kept, key=lambda point: point.mean_layers)

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "points": [{**asdict(point), "ask": list(point.ask)} for point in self.points]}

    @classmethod
    def read(cls, fields: Fields, exits: int) -> KeptCurve:
        """Of a file; UserError for what is none. exits: how many there are before the last one."""
        points = [_point(each, exits) for each in fields.each("points")]
        if not points:
            fields.wrong("points", "one or more thresholds")
        return cls(fields.text("metric"), fields.whole("examples", 1), fields.number("confidence", 0, 1), tuple(points))


def _point(fields: Fields, exits: int) -> CurvePoint:
    return CurvePoint(
        fields.number("threshold"),
        read_ask(fields, exits),
        fields.number("score"),
        fields.number("mean_layers", 0),
        fields.number("drop"),
        fields.number("at_most"),
    )
