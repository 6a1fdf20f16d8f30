"""What a threshold was chosen on: how many held-out examples, and how much that says."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Array, Floats
from ofa_bert.tasks.intervals import FEW, interval
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenOn:
    """The held-out score without early exits and with the chosen ones, which may be anything from low to high.

    drop_at_most: what the chosen ones promise to lose at most, with that confidence.
    """

    examples: int
    full: float
    exits: float
    low: float
    high: float
    drop_at_most: float
    confidence: float

    @classmethod
    def of(
        cls, task: Task, answered: Floats, whole: Floats, labels: Array, drop_at_most: float, confidence: float
    ) -> ChosenOn:
        """answered: logits [N, C] of the chosen exits; whole: of all layers."""
        full, exits = (main_score(task, compute(task, logits, labels)) for logits in (whole, answered))
        return cls(len(labels), full, exits, *interval(task, answered, labels), drop_at_most, confidence)

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> ChosenOn:
        fields = Fields(value, "what the threshold was chosen on")
        names = ("full", "exits", "low", "high", "drop_at_most", "confidence")
        return cls(fields.whole("examples"), *(fields.number(name) for name in names))

    def promise(self) -> str:
        """In words."""
        return (
            f"loses {self.full - self.exits:.4f} on {self.examples} held-out texts, on new ones at most"
            f" {self.drop_at_most:.4f} with {100 * self.confidence:g} % confidence"
        )

    def column(self) -> tuple[str, dict[str, str]]:
        """Its title, and its cell in each row of a table."""
        with_exits = f"{self.exits:.4f} ({self.low:.4f} to {self.high:.4f})"
        return f"score on {self.examples} held out", {"full": f"{self.full:.4f}", "with exits": with_exits}

    def warn_of_few(self) -> None:
        if self.examples < FEW:
            logger.warning(
                "the threshold is chosen on %d held-out examples: the score of %.4f there stands for anything from"
                " %.4f to %.4f (95 %%). Hold out %d or more: train the exits with a larger `held_out_share`, or on more"
                " data",
                self.examples, self.exits, self.low, self.high, FEW,
            )  # fmt: skip
