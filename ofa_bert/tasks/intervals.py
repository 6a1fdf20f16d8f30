"""How sure a score is that was measured on few examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task

FEW = 200  # examples, below which an accuracy of 0.9 may be 0.04 off and more
LEVEL = 0.95
_Z = 1.959964  # of the normal distribution at that level
_RESAMPLES, _PAIRED = 200, 1000


class Difference(NamedTuple):
    """By how much one score is above another, and from where to where that may really lie."""

    score: float
    low: float
    high: float


class Sure(NamedTuple):
    """A score, and from where to where it may really lie."""

    score: float
    low: float
    high: float


def difference(
    task: Task, logits: Floats, others: Floats, labels: Array, seed: int = 0, thresholds: Sequence[float] | None = None,
    level: float = LEVEL,
) -> Difference:  # fmt: skip
    """The main score of `logits` less that of `others`, on the same examples, with its interval at that level.

    Examples are drawn anew, each with both answers (paired percentile bootstrap): what both get right or wrong alike
    says nothing of their difference, so this is much narrower than what two separate intervals would say.
    thresholds: what `others` are decided by, if not by the task's.
    """
    logits, others, labels = np.asarray(logits), np.asarray(others), np.asarray(labels)

    def found(drawn: Array) -> float:
        answers = zip(tasks, (logits, others))
        first, second = (main_score(own, compute(own, each[drawn], labels[drawn])) for own, each in answers)
        return first - second

    rng, draw = np.random.default_rng(seed), _drawing(task, labels)
    task = replace(task, metrics=task.metrics[:1])
    tasks = task, task if thresholds is None else replace(task, thresholds=tuple(thresholds))
    whole = found(np.arange(len(labels)))
    low, high = np.quantile([found(draw(rng)) for _ in range(_PAIRED)], [(1 - level) / 2, (1 + level) / 2])
    return Difference(whole, min(float(low), whole), max(float(high), whole))


def interval(task: Task, logits: Floats, labels: Array, seed: int = 0) -> tuple[float, float]:
    """(low, high) of the main score at 95 %, as of `metrics.compute`.

    Of an accuracy Wilson's interval, which no number of examples makes empty; of other metrics the quantiles over
    examples that are drawn anew (Efron's percentile bootstrap), the same for the same seed.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    found = main_score(task, compute(task, logits, labels))
    if task.metrics[0] == "accuracy":
        return wilson(found, len(labels))
    rng, draw, scores = np.random.default_rng(seed), _drawing(task, labels), []
    task = replace(task, metrics=task.metrics[:1])
    for _ in range(_RESAMPLES):
        drawn = draw(rng)
        scores.append(main_score(task, compute(task, logits[drawn], labels[drawn])))
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), found), max(float(high), found)


def mean_score(task: Task, splits: Sequence[tuple[Floats, Array]]) -> Sure:
    """The mean of the main scores of several splits, each logits and labels, with its interval at 95 %.

    Splits are independent of each other, so the squares of what each may be off add up.
    """
    scores = [main_score(task, compute(task, logits, labels)) for logits, labels in splits]
    score, ends = sum(scores) / len(scores), [interval(task, logits, labels) for logits, labels in splits]
    below, above = (
        math.sqrt(sum((end[side] - own) ** 2 for own, end in zip(scores, ends))) / len(scores) for side in (0, 1)
    )
    return Sure(score, score - below, score + above)


def _drawing(task: Task, labels: Array) -> Callable[[np.random.Generator], Ints]:
    """Draws rows as often as there are examples: each row is one, or each text with all of its words."""
    if not task.kind.per_token or task.kind.windowed:
        return lambda rng: rng.integers(0, len(labels), len(labels))
    texts = np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels[:, 1])) + 1)
    return lambda rng: np.concatenate([texts[text] for text in rng.integers(0, len(texts), len(texts))])


def wilson(share: float, count: int) -> tuple[float, float]:
    """The shares that may have given this one among so many (E. B. Wilson, 1927)."""
    spread = _Z * _Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / count / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
