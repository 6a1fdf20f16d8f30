"""How well a passage answers a query: one number for a pair of texts; the pairs of a query are an example.

Outputs of N rows are [N, 1]; regrouped by `tasks.groups` they are [Q, C], and so are labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.numerics import Array, Bools, Floats
from ofa_bert.tasks import ranking_metrics as metrics
from ofa_bert.tasks.groups import is_real
from ofa_bert.tasks.kinds.base import LabelColumns, Values
from ofa_bert.tasks.kinds.regression import Regression

# What a model is trained for: 0 or 1 of a pair, its number, or a teacher's scores of all passages of a query.
BINARY, NUMBERS, LISTS = "binary", "numbers", "lists"
OF_QUERIES = ("mrr@10", "ndcg@10")
OF_PAIRS = {BINARY: ("accuracy",), NUMBERS: ("pearson", "mae"), LISTS: ("pearson", "mae")}


@dataclass(frozen=True, eq=False)
class Ranking(Regression):
    """Labels of rows are float32 [N]."""

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return False  # its files are known by other columns

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        if set(np.unique(labels).tolist()) <= {0.0, 1.0}:
            return f"pairs, {int(labels.sum())} of them relevant"
        return f"pairs, {super().summary(labels, names)}"

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        return np.asarray(logits)  # [Q, C]

    @property
    def countable(self) -> bool:
        return True

    def same(self, first: Floats, second: Floats, thresholds: Sequence[float]) -> Bools:
        """Whether the passages of a query [Q, C] stand in the same order."""
        orders = [np.argsort(-logits, axis=-1, kind="stable") for logits in (first, second)]
        return np.asarray((orders[0] == orders[1]).all(axis=-1))

    def undecided(self, logits: Floats) -> Bools:
        """Queries with several passages."""
        return np.asarray(is_real(logits).sum(axis=-1) > 1)

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean squared difference over the pairs."""
        return float(np.mean((full - other)[is_real(full)] ** 2))


KIND = Ranking(
    "ranking",
    "ranking",
    {
        "mrr@10": metrics.mrr_at_10,
        "ndcg@10": metrics.ndcg_at_10,
        "accuracy": metrics.accuracy,
        "pearson": metrics.pearson,
        "mae": metrics.mean_absolute_error,
        "f1a": metrics.f1_of_answers,
        "em": metrics.exact_match,
    },
    OF_QUERIES,
    ("predicted_value",),
    grouped=True,
    objectives=(BINARY, NUMBERS, LISTS),
    problem_type="regression",
)
