"""A number."""

from __future__ import annotations

import logging
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import Array, Floats
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.base import Answer, Label, LabelColumns, Said, TaskKind, Values, another_kind, one_text
from ofa_bert.tasks.label_text import FEW, number_written, readable_number, warn_of_ids

logger = logging.getLogger(__name__)

_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?(0|[1-9][0-9]*)(,[0-9]+)?")
# More whole numbers than few are classes when the ordinary one has so many rows: classes recur, or nothing could learn
# them, while the values of a measure thin out. 30 intents with 8 rows each are classes, 100 different prices are not.
_ROWS_OF_A_CLASS = 5


# SciPy is imported where it is used: it takes seconds, and many commands score nothing.
def pearson(predictions: Array, labels: Array) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, labels)


def spearman(predictions: Array, labels: Array) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, labels)


def mean_absolute_error(predictions: Array, labels: Array) -> float:
    return float(np.mean(np.abs(predictions - labels)))


def root_mean_squared_error(predictions: Array, labels: Array) -> float:
    return float(np.sqrt(np.mean((predictions - labels) ** 2)))


def _correlation(measure: Callable[[Array, Array], Sequence[float]], predictions: Array, labels: Array) -> float:
    # SciPy warns and returns NaN for a constant.
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(measure(predictions, labels)[0])


@dataclass(frozen=True, eq=False)
class Regression(TaskKind):
    """Labels are float32 [N], and the classifier has one output."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return ()

    def fits(self, labels: Sequence[str]) -> bool:
        return not labels

    def width(self, labels: Sequence[str]) -> int:
        return 1

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return _are_numbers(columns, [(line, self._text(columns, line, values)) for line, values in rows])

    def _text(self, columns: LabelColumns, line: int, values: Values) -> str:
        try:
            return one_text(values[0], columns.names[0])
        except ValueError as error:
            raise UserError(f"{columns.path}:{line}: {error}") from error

    def cell(self, values: Values, columns: LabelColumns) -> Said:
        return (one_text(values[0], columns.names[0]),)

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        warn_of_ids(columns.path, columns.names[0], [(line, value) for line, (value,) in cells])
        return ()

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], float]:
        def read(said: Said) -> float:
            (value,) = said
            number = readable_number(value)
            if number is None:
                raise ValueError(f"label {shown(value)} is not a finite number, as task {task} needs")
            return number

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if isinstance(label, tuple):
            raise another_kind(label, self)
        return (repr(label),)

    def classes(self, label: Label) -> tuple[int, ...]:
        return ()

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """Their range and mean."""
        numbers = labels.astype(np.float64)
        return f"numbers from {numbers.min():.6g} to {numbers.max():.6g}, mean {numbers.mean():.4g}"

    @property
    def countable(self) -> bool:
        return False

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        return logits.reshape(len(logits)).astype(np.float64)  # [N]

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        return [Answer(value=float(value)) for (value,) in logits]

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean squared difference."""
        return float(np.mean((full - other) ** 2))

    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        """Mean squared difference."""
        return self.distance(wanted, logits)

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        return "logits[:, 0]"


def _are_numbers(columns: LabelColumns, values: Sequence[tuple[int, str]]) -> bool:
    """All labels are numbers, and they are many or one is not whole.

    A few odd ones among numbers that are measured, or a missing number such as nan, are errors and not classes.
    """
    found = [(line, value, number_written(value)) for line, value in values]
    numbers = [number for _, _, number in found if number is not None]
    odd = [(line, value) for line, value, number in found if number is None]
    _refuse_decimal_commas(columns, values)
    counts = Counter(numbers)
    measured = not all(number.is_integer() for number in counts) or not _few(counts)
    missing = all(_NOT_FINITE.fullmatch(value) for _, value in odd)
    if numbers and odd and (missing or (measured and len(numbers) >= 0.9 * len(values))):
        line, value = odd[0]
        raise UserError(
            f"{columns.path}:{line}: label {shown(value)} is not a finite number, though {len(numbers)} of "
            f"{len(values)} labels are numbers; correct it, or take all for names with `label_kind` classes"
        )
    if odd or not measured:
        return False
    # A section "1.2" or a code 3017 looks like a measure as well.
    level = logging.WARNING if len(counts) <= FEW or all(number.is_integer() for number in counts) else logging.INFO
    logger.log(
        level,
        "%s: column %r holds numbers to predict, %d different ones from %g to %g; if they are names of classes, say "
        "`label_kind` classes",
        columns.path, columns.names[0], len(counts), min(counts), max(counts),
    )  # fmt: skip
    return True


def _few(counts: Counter[float]) -> bool:
    return len(counts) <= FEW or statistics.median(counts.values()) >= _ROWS_OF_A_CLASS


def _refuse_decimal_commas(columns: LabelColumns, values: Sequence[tuple[int, str]]) -> None:
    commas = [(line, value) for line, value in values if "," in value]
    if commas and all(_DECIMAL_COMMA.fullmatch(value) for _, value in values):
        line, value = commas[0]
        raise UserError(
            f"{columns.path}:{line}: label {shown(value)} looks like a number with a decimal comma; write "
            f"{value.replace(',', '.')}, or take all for names with `label_kind` classes"
        )


KIND = Regression(
    "regression",
    "numbers",
    {"pearson": pearson, "spearman": spearman},
    ("pearson", "spearman"),
    ("predicted_value",),
    reported={
        "pearson": pearson, "spearman": spearman, "mae": mean_absolute_error, "rmse": root_mean_squared_error,
    },
    problem_type="regression",
)  # fmt: skip
