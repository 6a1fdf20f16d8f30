"""Two models on the same examples: by how much one is better, and whether chance may have done it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ofa_bert.numerics import Array, Bools, Floats
from ofa_bert.tasks.intervals import Difference, difference
from ofa_bert.tasks.metrics import reported
from ofa_bert.tasks.task import Task


@dataclass(frozen=True)
class McNemar:
    """Q. McNemar's test (1947), exact. first, second: examples that only that model answers rightly; both, neither.

    p: how often chance alone would part the examples that only one answers rightly as unevenly as this.
    """

    both: int
    first: int
    second: int
    neither: int
    p: float


@dataclass(frozen=True)
class Beside:
    """The second model on one split.

    scores: its own. difference: of the main score, first less second, with its interval at 95 %.
    """

    split: str
    what: str
    scores: Mapping[str, float]
    difference: Difference
    mcnemar: McNemar | None  # None where answers are not right or wrong

    def to_json(self) -> dict[str, object]:
        return {
            "split": self.split,
            "what": self.what,
            "scores": dict(self.scores),
            "difference": self.difference._asdict(),
            "mcnemar": None if self.mcnemar is None else vars(self.mcnemar),
        }


def beside(
    task: Task, split: str, what: str, logits: Floats, others: Floats, labels: Array, thresholds: tuple[float, ...]
) -> Beside:
    """The model of `others`, decided by `thresholds`, beside that of `logits`; both as of `metrics.compute`."""
    own = replace(task, thresholds=thresholds)
    first = task.kind.right(logits, labels, task.thresholds)
    second = task.kind.right(others, labels, thresholds)
    test = None if first is None or second is None else mcnemar(first, second)
    apart = difference(task, logits, others, labels, thresholds=thresholds)
    return Beside(split, what, reported(own, others, labels), apart, test)


def mcnemar(first: Bools, second: Bools) -> McNemar:
    """Of which answers [N] are right."""
    from scipy.stats import binomtest  # takes a second, and some commands compare nothing

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    parted = only_first + only_second
    p = float(binomtest(only_first, parted).pvalue) if parted else 1.0
    return McNemar(int((first & second).sum()), only_first, only_second, int(np.sum(~first & ~second)), p)
