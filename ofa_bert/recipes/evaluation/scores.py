"""What a model's answers to one split are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.recipes.evaluation.calibration import Calibration, calibration, certainty
from ofa_bert.tasks.kinds.tokens import scores_of_names
from ofa_bert.tasks.metrics import reported
from ofa_bert.tasks.task import Task


@dataclass(frozen=True)
class LabelScores:
    """Of one label: how many examples have it, how much of what is called so is so, and how much of it is found."""

    label: str
    examples: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class SplitScores:
    """Of one split: the task's metrics and those that its kind reports, as fractions; each label's own.

    confusion: of a task with one label of several, int64 [C, C]: row of the right label, column of the answer.
    calibration: of the same tasks.
    """

    split: str
    examples: int
    scores: Mapping[str, float]
    labels: tuple[LabelScores, ...]
    confusion: Ints | None = None
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, object]:
        sure = self.calibration
        more: dict[str, object] = {} if self.confusion is None else {"confusion": self.confusion.tolist()}
        if sure is not None:
            bins = [each._asdict() for each in sure.bins]
            more["calibration"] = {"expected_calibration_error": sure.error, "bins": bins}
        return {
            "split": self.split,
            "examples": self.examples,
            "scores": dict(self.scores),
            "labels": [vars(label) for label in self.labels],
            **more,
        }


def split_scores(task: Task, split: str, examples: int, logits: Floats, labels: Array) -> SplitScores:
    """logits, labels: as of `metrics.compute`."""
    found = reported(task, logits, labels)
    each = label_scores(task, logits, labels)
    predictions = task.kind.predictions(logits, task.thresholds)
    right = task.kind.right(logits, labels, task.thresholds)
    if right is None or not each or predictions.ndim != 1:
        return SplitScores(split, examples, found, each)
    sure = calibration(certainty(logits), right)
    return SplitScores(split, examples, found, each, confusion(predictions, labels, len(task.labels)), sure)


def confusion(predictions: Ints, labels: Ints, count: int) -> Ints:
    """int64 [count, count]: how many examples of each label (row) got each answer (column)."""
    found = np.zeros([count, count], np.int64)
    np.add.at(found, (labels, predictions), 1)
    return found


def label_scores(task: Task, logits: Floats, labels: Array) -> tuple[LabelScores, ...]:
    """Precision, recall and F1 of every label, by logits [N, C]; () for a task without labels."""
    if not task.labels:
        return ()
    if task.kind.per_token:
        return tuple(LabelScores(*each) for each in scores_of_names(logits.argmax(-1), labels, task.labels))
    from sklearn.metrics import precision_recall_fscore_support  # takes a second, and some commands score nothing

    predictions = task.kind.predictions(logits, task.thresholds)
    numbers = list(range(len(task.labels)))
    each = precision_recall_fscore_support(labels, predictions, labels=numbers, zero_division=0.0)
    return tuple(
        LabelScores(label, int(count), float(precision), float(recall), float(f1))
        for label, precision, recall, f1, count in zip(task.labels, *each)
    )
