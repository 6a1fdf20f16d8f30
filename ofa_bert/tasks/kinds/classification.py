"""One class of several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import Array, Bools, Floats, log_softmax
from ofa_bert.tasks.kinds.base import Answer, Label, LabelColumns, Said, TaskKind, Values, another_kind, one_text
from ofa_bert.tasks.label_text import FEW, check_twins, counted, in_order, is_whole, unknown, warn_of_ids, whole_number

logger = logging.getLogger(__name__)

ACCURACY = ("accuracy",)


def accuracy(predictions: Array, labels: Array) -> float:
    return float((predictions == labels).mean())


# scikit-learn is imported where it is used: it takes seconds, and many commands score nothing.
def f1(predictions: Array, labels: Array) -> float:
    """F1 of class 1 (GLUE's "is a paraphrase"); 0 when class 1 is neither predicted nor present."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predictions == 1, zero_division=0.0))


def macro_f1(predictions: Array, labels: Array) -> float:
    """Mean over the classes of each one's F1; 0 for one that is neither predicted nor present."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def weighted_f1(predictions: Array, labels: Array) -> float:
    """Mean over the classes of each one's F1, weighted by how many examples have it."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="weighted", zero_division=0.0))


def balanced_accuracy(predictions: Array, labels: Array) -> float:
    """Mean over the classes that occur of the share of each one that is found."""
    return float(np.mean([(predictions[labels == each] == each).mean() for each in np.unique(labels)]))


def matthews(predictions: Array, labels: Array) -> float:
    """Matthews' correlation for any number of classes; 0 for a constant prediction."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


@dataclass(frozen=True, eq=False)
class Classification(TaskKind):
    """Labels are class indices, int64 [N]; class i is labels[i]."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return tuple(labels) or tuple(map(str, range(width)))

    def width(self, labels: Sequence[str]) -> int:
        return len(labels)

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return True

    def cell(self, values: Values, columns: LabelColumns) -> Said:
        return (one_text(values[0], columns.names[0]),)

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        """Whole numbers are named alike however they are written: "1" for "1.0". UserError for what is no label."""
        rows = [(line, value) for line, (value,) in cells]
        warn_of_ids(columns.path, columns.names[0], rows)
        if all(is_whole(value) for _, value in rows):
            rows = [(line, str(whole_number(value))) for line, value in rows]
        classes = {value for _, value in rows}
        too_many = guessed and len(classes) > max(FEW, len(rows) // 2)
        if len(classes) < 2 or too_many:
            raise UserError(
                f"{columns.path}: column {columns.names[0]!r} holds {len(classes)} different label(s) in {len(rows)} "
                "rows; is it the label column?"
            )
        check_twins(columns.path, rows, f"`label_kind` {self.word}" if guessed else None)
        if guessed:
            _tell(columns, classes, len(rows))
        return in_order(classes)

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], int]:
        index = {label: i for i, label in enumerate(labels)}
        values = {whole_number(label): i for label, i in index.items()}
        # "0.0" is the class "0", when all are such numbers.
        numbered = None not in values and len(values) == len(index)

        def read(said: Said) -> int:
            (value,) = said
            place = index.get(value)
            if place is None and numbered:
                place = values.get(whole_number(value))
            if place is None:
                raise ValueError(unknown(value, labels, task))
            return place

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if not isinstance(label, int):
            raise another_kind(label, self)
        return (labels[label],)

    def classes(self, label: Label) -> tuple[int, ...]:
        if not isinstance(label, int):
            raise another_kind(label, self)
        return (label,)

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """How many rows each class has."""
        return counted(names, np.bincount(labels, minlength=len(names)))

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        return np.asarray(logits.argmax(axis=-1))  # [N]

    def right(self, logits: Floats, labels: Array, thresholds: Sequence[float]) -> Bools | None:
        return np.asarray(self.predictions(logits, thresholds) == labels)

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        probabilities = np.exp(log_softmax(logits)) if len(logits) else logits  # [N, C]
        return [
            Answer(names[best], float(row[best]), None, tuple(map(float, row)))
            for row, best in zip(probabilities, probabilities.argmax(axis=-1))
        ]

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean KL(full || other)."""
        log_p, log_q = log_softmax(full), log_softmax(other)
        return float(np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)))

    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        return float(-np.mean(np.sum(np.exp(log_softmax(wanted)) * log_softmax(logits), axis=-1)))

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        return f"[{list(names)!r}[row.argmax()] for row in logits]"


def _tell(columns: LabelColumns, classes: set[str], rows: int) -> None:
    """That numbers were taken for classes may be wrong, the more so the more there are."""
    if not all(map(is_whole, classes)):
        logger.info("%s: column %r holds %d classes", columns.path, columns.names[0], len(classes))
        return
    logger.log(
        logging.WARNING if len(classes) > FEW else logging.INFO,
        "%s: column %r holds %d classes, whole numbers with %.0f rows each; if they are amounts to predict (a score, "
        "an age), say `label_kind` numbers",
        columns.path, columns.names[0], len(classes), rows / len(classes),
    )  # fmt: skip


KIND = Classification(
    "classification",
    "classes",
    {
        "accuracy": accuracy,
        "f1": f1,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "balanced_accuracy": balanced_accuracy,
        "matthews": matthews,
    },
    ACCURACY,
    ("predicted_label", "probability"),
    reported={
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "matthews": matthews,
    },
    problem_type="single_label_classification",
)
