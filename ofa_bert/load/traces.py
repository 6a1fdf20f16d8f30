"""Traces: when requests arrive and how long they are, fixed before anything is run (an open loop), by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ofa_bert.numerics import Floats, Ints

MOST_REQUESTS = 2_000_000
# How a day goes: the load swings by this share around its mean, and each of its slots by a log-normal factor.
_SWING, _SLOTS, _NOISE = 0.8, 288, 0.1


@dataclass(frozen=True)
class Trace:
    """seconds: ascending, from 0 on. lengths: tokens; priorities: higher ones matter more. One of each a request."""

    seconds: Floats
    lengths: Ints
    priorities: Ints

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def rate(self) -> float:
        """Requests a second, from the first moment to the last request."""
        return len(self) / float(self.seconds[-1]) if len(self) and self.seconds[-1] > 0 else float("inf")

    def at_rate(self, rate: float) -> Trace:
        """The same requests, faster or slower. ValueError when all of them come at once."""
        if not np.isfinite(self.rate):
            raise ValueError("all requests come at once: they have no rate")
        return replace(self, seconds=self.seconds * (self.rate / rate))

    def until(self, seconds: float) -> Trace:
        """What comes before that."""
        count = int(np.searchsorted(self.seconds, seconds))
        return Trace(self.seconds[:count], self.lengths[:count], self.priorities[:count])


def poisson(rate: float, seconds: float, random: np.random.Generator) -> Floats:
    """Arrivals that know nothing of each other."""
    return bursty(rate, seconds, 1.0, random)


def bursty(rate: float, seconds: float, cv2: float, random: np.random.Generator) -> Floats:
    """Times between arrivals from a Gamma distribution whose squared coefficient of variation is `cv2`."""
    found = np.zeros(0)
    while len(found) == 0 or found[-1] < seconds:
        more = random.gamma(1 / cv2, cv2 / rate, size=max(1000, int(rate * seconds * 0.2)))
        found = np.concatenate([found, (found[-1] if len(found) else 0.0) + np.cumsum(more)])
    return found[found < seconds]


def day(rate: float, seconds: float, random: np.random.Generator) -> Floats:
    """A day in `seconds`: few requests at its begin and end, most in the middle, and no hour quite as expected."""
    middle = (np.arange(_SLOTS) + 0.5) / _SLOTS
    expected = (1 - _SWING * np.cos(2 * np.pi * middle)) * random.lognormal(-(_NOISE**2) / 2, _NOISE, _SLOTS)
    counts = random.poisson(expected * rate * seconds / _SLOTS)
    begins = np.repeat(np.arange(_SLOTS), counts)
    return np.asarray(np.sort((begins + random.random(len(begins))) * (seconds / _SLOTS)))


def with_lengths(
    seconds: Floats, lengths: Sequence[int], counts: Sequence[float], random: np.random.Generator
) -> Trace:
    """Lengths drawn as often as their counts say, beside these arrivals."""
    shares = np.asarray(counts, np.float64) / np.sum(counts)
    drawn = random.choice(np.asarray(lengths, np.int64), size=len(seconds), p=shares)
    return Trace(seconds, drawn, np.zeros(len(seconds), np.int64))
