"""A task's metrics on arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ofa_bert.errors import RunError
from ofa_bert.numerics import Array, Floats
from ofa_bert.tasks.task import Task


def compute(task: Task, logits: Floats, labels: Array) -> dict[str, float]:
    """Every metric of the task, in its order, as fractions (accuracy 0.93, not 93).

    logits [N, C], [N] for a single number; labels as of the task's kind: [N] class indices or numbers, [N, C] sets.
    Of a kind whose rows are grouped both are as `tasks.groups.regrouped` makes them.
    A correlation that is undefined, because all predictions are equal, counts 0.
    Raises RunError when a logit is NaN or infinite: argmax would turn it into a plausible class.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if len(labels) == 0 or len(logits) != len(labels):
        raise ValueError(f"{len(logits)} predictions for {len(labels)} labels")
    broken = int((~np.isfinite(logits.reshape(len(labels), -1))).any(axis=1).sum())
    if broken:
        raise RunError(
            f"the model's output is NaN or infinite for {broken} of {len(labels)} examples of {task.name}: "
            "training diverged; try a lower learning rate, more warm-up, or no `amp`"
        )
    predictions = task.kind.predictions(logits, task.thresholds)
    return {name: task.kind.metrics[name](predictions, labels) for name in task.metrics}


def reported(task: Task, logits: Floats, labels: Array) -> dict[str, float]:
    """What an evaluation tells: the task's metrics, and what the kind reports besides."""
    found = compute(task, logits, labels)
    predictions = task.kind.predictions(np.asarray(logits), task.thresholds)
    more = {name: metric for name, metric in task.kind.reported.items() if name not in found}
    return {**found, **{name: metric(predictions, np.asarray(labels)) for name, metric in more.items()}}


def main_score(task: Task, scores: dict[str, float]) -> float:
    """The number that chooses the best model: the task's first metric."""
    return scores[task.metrics[0]]


def chance(task: Task) -> float:
    """What guessing scores: one of the classes by accuracy, nothing by a correlation."""
    return 1 / task.num_labels if task.metrics[0] == "accuracy" and task.num_labels > 1 else 0.0


def as_text(scores: Mapping[str, float]) -> str:
    """Scores for a line of a log."""
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
