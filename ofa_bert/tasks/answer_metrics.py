"""Exact match and F1 of answers as SQuAD's official program counts them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ofa_bert.numerics import Array, Floats
from ofa_bert.tasks.passages import Passage

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_MARKS = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[str, ...]:
    """Lower case, without punctuation and articles."""
    return tuple(_ARTICLES.sub(" ", text.lower().translate(_MARKS)).split())


def _f1(found: str, right: str) -> float:
    mine, wanted = words_of(found), words_of(right)
    if not mine or not wanted:
        return float(mine == wanted)
    shared = sum((Counter(mine) & Counter(wanted)).values())
    return 2 * shared / (len(mine) + len(wanted))


def _exact(found: str, right: str) -> float:
    return float(words_of(found) == words_of(right))


def each(score: Callable[[str, str], float], spans: Array, passages: Array) -> Floats:
    """[E]: of characters [E, 2] in the contexts of passages [E] the best score over the right answers."""
    found = []
    for (start, end), passage in zip(np.asarray(spans).tolist(), passages):
        said = passage.context[start:end] if start >= 0 else ""
        found.append(max(score(said, right) for right in _right(passage)))
    return np.asarray(found, dtype=np.float64)


def _right(passage: Passage) -> list[str]:
    return [answer for answer in passage.answers if words_of(answer)] or [""]


def f1_each(spans: Array, passages: Array) -> Floats:
    return each(_f1, spans, passages)


def f1(spans: Array, passages: Array) -> float:
    """Mean F1 of the words of answer and right answer; no answer counts 1 where there is none, else 0."""
    return float(f1_each(spans, passages).mean())


def exact_match(spans: Array, passages: Array) -> float:
    """Share of the answers that are a right one but for case, punctuation and articles."""
    return float(each(_exact, spans, passages).mean())
