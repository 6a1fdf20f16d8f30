"""GLUE's metrics on arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ofa_bert.errors import RunError
from ofa_bert.tasks.task import Task


def compute(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric of the task, in its order, as fractions (accuracy 0.93, not 93).

    logits: [N, C] for classes, [N] or [N, 1] for regression; labels: [N] class indices or numbers.
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
            "training diverged; try a lower learning rate, more warm-up, or no --amp"
        )
    one_number = task.is_regression
    predictions = logits.reshape(len(labels)).astype(np.float64) if one_number else logits.argmax(axis=-1)  # [N]
    return {name: _METRICS[name](predictions, labels) for name in task.metrics}


def main_score(task: Task, scores: dict[str, float]) -> float:
    """The number that chooses the best model: the task's first metric."""
    return scores[task.metrics[0]]


def chance(task: Task) -> float:
    """What guessing scores: one of the classes by accuracy, nothing by a correlation."""
    return 1 / task.num_labels if task.metrics[0] == "accuracy" else 0.0


def as_text(scores: Mapping[str, float]) -> str:
    """Scores for a line of a log."""
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())


# scikit-learn and SciPy are imported where they are used: they take seconds, and many commands score nothing.
def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float((predictions == labels).mean())


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1 (GLUE's "is a paraphrase"); 0 when class 1 is neither predicted nor present."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predictions == 1, zero_division=0.0))


def matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation for any number of classes; 0 for a constant prediction."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, labels)


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, labels)


def _correlation(measure, predictions: np.ndarray, labels: np.ndarray) -> float:
    # SciPy warns and returns NaN for a constant.
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(measure(predictions, labels)[0])


_METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman}
