"""A drop that is promised: how much score early exits may cost at most, with so much confidence. NumPy alone.

Every text is answered twice, by the full model and with early exits. Of an accuracy what counts is on how many texts
only one of the two is right: the drop is the share where that is the full model less the share where it is the exits.
What a number of texts says of it is exact, whatever the shares are: the chance of so few losses is maximized over the
shares that are possible, within an exact interval of how often the two part at all (Berger and Boos, 1994). Of other
metrics it is the end of a paired bootstrap's interval.

Thresholds are asked in turn, from the most careful on, until one fails: so many may be asked that each of those before
keeps the promise together with the others (a fixed sequence of tests), and the fastest of them may be taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Array, Floats
from ofa_bert.tasks.intervals import difference
from ofa_bert.tasks.task import Task

CONFIDENCE = 0.95
_OF_PARTING = 0.2  # share of what may go wrong that goes to the interval of how often the two part
_SHARES = 12  # at which the chance is looked at within it
_STEPS = 20  # of a bisection: to a millionth
_SPREADS = 9.0  # standard deviations that are looked at; beyond them lies less than 1e-16
_MOST = 1 << 22  # texts, more than anybody holds out


class Parted(NamedTuple):
    """Of `examples` texts: on how many the exits alone are wrong (worse), and the full model alone (better)."""

    worse: int
    better: int
    examples: int


def chance(parted: Parted, drop: float, confidence: float = CONFIDENCE) -> float:
    """How likely so few losses are at most, if the true drop were `drop` or more."""
    n, share = parted.examples, (1 - confidence) * _OF_PARTING
    most = _upper(parted.worse + parted.better, n, share)
    if most < drop:  # the two part too seldom for it
        return share
    shares = np.linspace(drop, most, _SHARES)
    return min(1.0, share + float(_at_most(parted.worse - parted.better, n, drop, shares).max()))


def at_most(parted: Parted, confidence: float = CONFIDENCE) -> float:
    """The smallest drop that is promised with that confidence."""
    low, high = max(0.0, (parted.worse - parted.better) / parted.examples), 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(parted, middle, confidence) <= 1 - confidence else (middle, high)
    return high


def needed(drop: float, confidence: float = CONFIDENCE) -> int | None:
    """The fewest texts that can promise a drop: on as many no answer may change. None: no number can."""
    if drop <= 0:
        return None

    def can(examples: int) -> bool:
        return chance(Parted(0, 0, examples), drop, confidence) <= 1 - confidence

    high = 1
    while not can(high):
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if can(middle) else (middle, high)
    return high


def bound(task: Task, answered: Floats, whole: Floats, labels: Array, confidence: float = CONFIDENCE) -> float:
    """The drop that is promised of answers with early exits [N, C] beside those of the full model.

    Of other metrics than an accuracy both ends of the bootstrap's interval are left out, which is on the safe side.
    """
    if task.metrics[0] == "accuracy":
        exits, full = (task.kind.right(logits, labels, task.thresholds) for logits in (answered, whole))
        if exits is not None and full is not None:
            return at_most(Parted(int((full & ~exits).sum()), int((exits & ~full).sum()), len(full)), confidence)
    if np.array_equal(answered, whole):
        return 0.0
    return max(0.0, -difference(task, answered, whole, labels, level=confidence).low)


def promised(bounds: Sequence[float], drop: float) -> int:
    """How many of the first thresholds keep a drop, asked in turn until one does not; most careful first."""
    kept = 0
    for value in bounds:
        if value > drop + 1e-12:
            break
        kept += 1
    return kept


def _at_most(net: int, count: int, drop: float, shares: Floats) -> Floats:
    """P(worse - better <= net) of `count` texts, for each share [S] of texts on which the two part.

    By the characteristic function of what one text brings: 1, 0 or -1.
    """
    # Nearly all net losses lie within so many of none; what lies beyond would be counted at the other end.
    reach = int(count * drop + _SPREADS * (np.sqrt(count * shares.max()) + 1)) + 10
    size = 2 * min(count, reach) + 1
    turn = np.exp(-2j * np.pi * np.arange(size) / size)
    up, down = ((shares + sign * drop)[:, None] / 2 for sign in (1, -1))
    single = 1 - shares[:, None] + up * turn + down / turn
    density = np.fft.ifft(single**count, axis=1).real  # [S, size], of net losses modulo size
    low = -(size // 2)
    if net < low:
        return np.zeros(len(shares))
    return np.asarray(np.clip(density[:, np.arange(low, min(net, -low) + 1) % size].sum(axis=1), 0.0, 1.0))


@lru_cache(maxsize=4096)
def _upper(seen: int, count: int, share: float) -> float:
    """The largest chance of an event that is seen so seldom with at least that probability (Clopper and Pearson)."""
    if seen >= count:
        return 1.0
    low, high = seen / count, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _binomial(seen, count, middle) > share else (low, middle)
    return high


def _binomial(seen: int, count: int, chance_of_one: float) -> float:
    """P(at most `seen` of `count`)."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    each = np.arange(seen + 1)
    ways = logs[count] - logs[each] - logs[count - each]
    return float(np.exp(ways + each * np.log(chance_of_one) + (count - each) * np.log1p(-chance_of_one)).sum())
