"""What a model says of contexts in which answers are looked for, as one array that metrics and answers need alone.

Of E questions it is [E, W, 5] float: for each token that may be the answer's first or last, window by window, its two
logits, the number of its window, and its place in the context. The first token of a window stands for no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Array, Floats, Ints

LONGEST = 30  # tokens of an answer, as in BERT's own program
_START, _END, _WINDOW, _FROM, _TO = range(5)


@dataclass(frozen=True)
class Passage:
    """A context and the texts of the right answers, none where it has no answer."""

    context: str
    answers: tuple[str, ...]


class Window(NamedTuple):
    """Of a row of a model's input what its counting tokens [K] are in the context: [K, 2] int64, the first no part."""

    spans: Ints
    passage: Passage


def passages_of(every: Iterable[Passage]) -> Array:
    """[E] objects."""
    found = list(every)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


class Best(NamedTuple):
    """Of each question [E] the best answer: characters [E, 2], probability of start and end, and that there is none."""

    spans: Ints
    probability: Floats
    none: Floats  # 1 where nothing can be answered


def placed(values: Array, spans: Sequence[Ints], group: Ints) -> Floats:
    """[E, W, 5] of logits [M, 2], window by window [K_i]; group [N]: the question of each window."""
    _, which = np.unique(group, return_inverse=True)
    which = which.reshape(-1)  # NumPy 2.0 gives it another shape
    counts = np.asarray([len(each) for each in spans], dtype=np.int64)
    sizes = np.bincount(which, weights=counts).astype(np.int64)
    found = np.zeros([len(sizes), sizes.max(initial=0), 5], np.float32)
    found[:, :, _WINDOW] = -1
    filled, windows, ends = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64), np.cumsum(counts)
    for question, count, end, own in zip(which, counts, ends, spans):
        part = found[question, filled[question] : filled[question] + count]
        part[:, [_START, _END]], part[:, _WINDOW] = values[end - count : end], windows[question]
        part[:, [_FROM, _TO]] = own
        filled[question] += count
        windows[question] += 1
    return found


class _Flat(NamedTuple):
    """Rows [M, 5] of all tokens; their windows [M] and questions [M]; where windows and questions begin."""

    rows: Floats
    window: Ints
    question: Ints
    windows: Ints
    questions: Ints


def _flat(values: Floats) -> _Flat:
    real = values[:, :, _WINDOW] >= 0
    rows, question = values[real].astype(np.float64), np.nonzero(real)[0]
    first = np.diff(question, prepend=-1) != 0
    begins = first | (np.diff(rows[:, _WINDOW], prepend=-1) != 0)
    return _Flat(rows, np.cumsum(begins) - 1, question, np.flatnonzero(begins), np.flatnonzero(first))


def _log_softmax(flat: _Flat) -> Floats:
    """[M, 2] of the two logits among the tokens of each window."""
    logits = flat.rows[:, : _END + 1]
    shifted = logits - np.maximum.reduceat(logits, flat.windows)[flat.window]
    return np.asarray(shifted - np.log(np.add.reduceat(np.exp(shifted), flat.windows))[flat.window])


def best(values: Floats) -> Best:
    """Of [E, W, 5] the span with the highest sum of logits, of at most LONGEST tokens of one window."""
    if not len(values):
        return Best(np.zeros([0, 2], np.int64), np.zeros(0), np.zeros(0))
    flat = _flat(values)
    start, end = flat.rows[:, _START].copy(), flat.rows[:, _END].copy()
    nothing = (start + end)[flat.windows]  # of each window
    start[flat.windows] = -np.inf
    score, length = np.full(len(start), -np.inf), np.zeros(len(start), np.int64)
    for more in range(min(LONGEST, len(start))):
        count = len(start) - more
        total = np.where(flat.window[:count] == flat.window[more:], start[:count] + end[more:], -np.inf)
        better = total > score[:count]
        score[:count][better], length[:count][better] = total[better], more
    top = np.maximum.reduceat(score, flat.questions)
    hits = np.flatnonzero(score == top[flat.question])
    place = hits[np.unique(flat.question[hits], return_index=True)[1]]  # the first of each question
    spans = np.stack([flat.rows[place, _FROM], flat.rows[place + length[place], _TO]], axis=1).astype(np.int64)
    least = np.minimum.reduceat(nothing, np.searchsorted(flat.windows, flat.questions))
    log_p = _log_softmax(flat)
    probability = np.exp(log_p[place, 0] + log_p[place + length[place], 1])
    return Best(spans, probability, 1 / (1 + np.exp(np.clip(top - least, -500, 500))))


def divergence(full: Floats, other: Floats) -> float:
    """Mean KL of start and end over the windows."""
    flat = _flat(full)
    log_p, log_q = _log_softmax(flat), _log_softmax(_flat(other))
    return float((np.exp(log_p) * (log_p - log_q)).sum() / (2 * len(flat.windows)))


def cross_entropy(wanted: Floats, logits: Floats) -> float:
    """Mean cross-entropy of start and end over the windows."""
    flat = _flat(wanted)
    return float(-(np.exp(_log_softmax(flat)) * _log_softmax(_flat(logits))).sum() / (2 * len(flat.windows)))
