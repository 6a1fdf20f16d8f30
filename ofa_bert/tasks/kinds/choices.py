"""One of several choices: a row of the model's input for each, whose single outputs are compared.

Outputs of N rows are [N, 1]; regrouped by `tasks.groups` they are [E, C], and so are labels: 1 for the right choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.numerics import Array, Bools, Floats, log_softmax
from ofa_bert.reporting import shown
from ofa_bert.tasks.groups import is_real
from ofa_bert.tasks.heads import OPTIONS
from ofa_bert.tasks.kinds.base import (
    Answer,
    Label,
    LabelColumns,
    Said,
    Values,
    another_kind,
)
from ofa_bert.tasks.kinds.classification import Classification
from ofa_bert.tasks.label_text import readable_number


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of the questions [E] whose right choice, by labels [E, C], is the predicted one."""
    return float((predictions == labels.argmax(axis=-1)).mean())


@dataclass(frozen=True, eq=False)
class Choices(Classification):
    """Labels of rows are float32 [N]: 1 for the right choice of each question, else 0."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return ()

    def fits(self, labels: Sequence[str]) -> bool:
        return not labels

    def width(self, labels: Sequence[str]) -> int:
        return 1

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return False  # its files are known by other columns

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        return ()

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], float]:  # type: ignore[override]
        def read(said: Said) -> float:
            number = readable_number(said[0])
            if number not in (0, 1):
                raise ValueError(f"label {shown(said[0])} of a choice of task {task} is neither 0 nor 1")
            return float(number)

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if isinstance(label, tuple):
            raise another_kind(label, self)
        return (f"{label:g}",)

    def classes(self, label: Label) -> tuple[int, ...]:
        return ()

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """How many questions, and how many choices each."""
        questions = max(1, round(float(labels.sum())))
        return f"{questions} questions with {len(labels) / questions:.3g} choices each"

    def right(self, logits: Floats, labels: Array, thresholds: Sequence[float]) -> Bools | None:
        return np.asarray(self.predictions(logits, thresholds) == labels.argmax(axis=-1))

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        """One for each question, of logits [E, C]."""
        found = []
        for row in logits:
            probabilities = np.exp(log_softmax(row[is_real(row)]))
            best = int(probabilities.argmax())
            found.append(
                Answer(choice=best, probability=float(probabilities[best]), probabilities=tuple(probabilities.tolist()))
            )
        return found

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        return "[int(logits.reshape(-1).argmax())]"


KIND = Choices(
    "choices",
    "choices",
    {"accuracy": accuracy},
    ("accuracy",),
    ("predicted_choice", "probability"),
    grouped=True,
    together=True,
    head=OPTIONS,
)
