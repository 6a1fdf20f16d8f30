"""How good an order of passages is, and what else is said of pairs of a query and a passage.

Scores and labels are [Q, C], a query each, with PAD where a query has fewer passages. Where scores are equal the order
that is worst counts: a model that says the same of everything has found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ofa_bert.numerics import Array, Bools, Floats
from ofa_bert.tasks.groups import is_real
from ofa_bert.tasks.kinds.regression import pearson as pearson_of_numbers

TOP = 10


def _queries(scores: Array, labels: Array) -> Iterator[tuple[Floats, Floats]]:
    for row, wanted in zip(scores, labels):
        real = is_real(wanted)
        yield row[real].astype(np.float64), wanted[real].astype(np.float64)


def _mean(scores: Array, labels: Array, of_query: Callable[[Floats, Floats], float | None]) -> float:
    """Over the queries of which something can be said; 0 where there is none."""
    found = [value for pair in _queries(scores, labels) if (value := of_query(*pair)) is not None]
    return float(np.mean(found)) if found else 0.0


def mrr_at_10(scores: Array, labels: Array) -> float:
    """Mean of 1/rank of the first relevant passage among ten, else 0.

    Relevant is a passage with label 1 where labels are 0 and 1, else the one with a query's highest label. Queries in
    which all passages are alike are left out.
    """

    def of_query(row: Floats, wanted: Floats) -> float | None:
        relevant = _relevant(wanted)
        if relevant.all() or not relevant.any():
            return None
        rank = 1 + int((row[~relevant] >= row[relevant].max()).sum())
        return 1 / rank if rank <= TOP else 0.0

    return _mean(scores, labels, of_query)


def _relevant(wanted: Floats) -> Bools:
    if np.isin(wanted, (0.0, 1.0)).all():
        return np.asarray(wanted > 0)
    return np.asarray(wanted == wanted.max())


def ndcg_at_10(scores: Array, labels: Array) -> float:
    """Discounted gain of the first ten beside that of the best order (Jarvelin and Kekalainen 2002).

    The gain is the label; where a query has negative ones, its label above the lowest. Queries in which all passages
    are alike are left out.
    """

    def of_query(row: Floats, wanted: Floats) -> float | None:
        gains = wanted - min(0.0, float(wanted.min()))
        if gains.max() == gains.min():
            return None
        order = np.lexsort((gains, -row))  # by score; of equal ones the least gain first
        discounts = 1 / np.log2(np.arange(2, min(TOP, len(row)) + 2))
        best = np.sort(gains)[::-1][:TOP]
        return float((gains[order][:TOP] * discounts).sum() / (best * discounts).sum())

    return _mean(scores, labels, of_query)


def accuracy(scores: Array, labels: Array) -> float:
    """Share of the pairs that are on their side of 0, of labels 0 and 1."""
    real = is_real(labels)
    return float(((scores > 0) == (labels > 0.5))[real].mean())


def pearson(scores: Array, labels: Array) -> float:
    real = is_real(labels)
    return pearson_of_numbers(scores[real].astype(np.float64), labels[real].astype(np.float64))


def mean_absolute_error(scores: Array, labels: Array) -> float:
    real = is_real(labels)
    return float(np.abs(scores[real].astype(np.float64) - labels[real]).mean())


def f1_of_answers(scores: Array, labels: Array) -> float:
    """MultiRC's F1a: F1 of "is right" over all answers of all questions; 0 when none is right and none called so."""
    real = is_real(labels)
    said, right = scores[real] > 0, labels[real] > 0.5
    count = int(said.sum() + right.sum())
    return 2 * float((said & right).sum()) / count if count else 0.0


def exact_match(scores: Array, labels: Array) -> float:
    """MultiRC's EM: share of the questions of which every answer is judged right."""
    right = ((scores > 0) == (labels > 0.5)) | ~is_real(labels)
    return float(right.all(axis=-1).mean())
