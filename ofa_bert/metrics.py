"""GLUE's metrics on arrays. NumPy only: importing scikit-learn would cost every command seconds."""

from __future__ import annotations

import numpy as np

from ofa_bert.errors import RunError
from ofa_bert.tasks import Task


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
    if task.is_regression:
        predictions = logits.reshape(len(labels)).astype(np.float64)  # [N]
    else:
        predictions = logits.argmax(axis=-1)  # [N]
    return {name: _METRICS[name](predictions, labels) for name in task.metrics}


def main_score(task: Task, scores: dict[str, float]) -> float:
    """The number that chooses the best model: the task's first metric."""
    return scores[task.metrics[0]]


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float((predictions == labels).mean())


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1 (GLUE's "is a paraphrase"); 0 when class 1 is neither predicted nor present."""
    hits = int(((predictions == 1) & (labels == 1)).sum())
    total = int((predictions == 1).sum() + (labels == 1).sum())
    return 2 * hits / total if total else 0.0


def matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation, in Gorodkin's form for any number of classes; 0 for a constant prediction."""
    classes = np.union1d(predictions, labels)[:, None]  # [K, 1]
    predicted = (predictions == classes).sum(axis=1).astype(np.float64)  # [K]
    present = (labels == classes).sum(axis=1).astype(np.float64)  # [K]
    n, hits = len(labels), float((predictions == labels).sum())
    spread = np.sqrt((n**2 - predicted @ predicted) * (n**2 - present @ present))
    return float((hits * n - predicted @ present) / spread) if spread > 0 else 0.0


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    # A constant's mean can be off by a rounding error, which division would turn into a correlation.
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    x = predictions.astype(np.float64) - predictions.mean(dtype=np.float64)
    y = labels.astype(np.float64) - labels.mean(dtype=np.float64)
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return pearson(_ranks(predictions), _ranks(labels))


def _ranks(values: np.ndarray) -> np.ndarray:
    """[N] float64 ranks; equal values share the mean of their ranks, as Spearman's rho needs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


_METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman}
