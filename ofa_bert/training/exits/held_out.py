"""What a threshold is chosen on: the very examples that training held out, how many, and how much that says."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

from ofa_bert.data.batches import Encoded, split_holdout
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.models.record import ExitRecord
from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.tasks.intervals import FEW, interval
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task

logger = logging.getLogger(__name__)

_GIVE = "give the data that they were trained with"


@dataclass(frozen=True)
class ChosenOn:
    """The held-out score without early exits and with the chosen ones, which may be anything from low to high."""

    examples: int
    full: float
    exits: float
    low: float
    high: float

    @classmethod
    def of(cls, task: Task, answered: Floats, whole: Floats, labels: Array) -> ChosenOn:
        """answered: logits [N, C] of the chosen exits; whole: of all layers."""
        full, exits = (main_score(task, compute(task, logits, labels)) for logits in (whole, answered))
        return cls(len(labels), full, exits, *interval(task, answered, labels))

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> ChosenOn:
        fields = Fields(value, "what the threshold was chosen on")
        return cls(fields.whole("examples"), *(fields.number(name) for name in ("full", "exits", "low", "high")))

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


def split_as_trained(where: str, trained: ExitRecord, count: int) -> tuple[Ints, Ints]:
    """(rest, held out) of `count` training examples, as training split them."""
    if not 0 < trained.held_out < count:
        raise UserError(
            f"{where}: its exits were trained with {trained.held_out} held-out examples, and the training data have"
            f" {count}; {_GIVE}"
        )
    return split_holdout(count, trained.held_out, trained.held_out_seed)


def check_same(where: str, trained: ExitRecord, held_out: Encoded) -> None:
    """UserError for other data, or the same in another order: the split would hold examples that were trained on."""
    if trained.held_out_digest not in ("", held_out.digest()):
        raise UserError(
            f"{where}: its exits were trained with other training data: the {trained.held_out} examples held out from"
            f" them, on which a threshold is chosen, cannot be found in these; {_GIVE}"
        )
