"""Points: the ways in which a server can answer, each with its score and its measured latency.

    point = Point("w0.5_d0.5", 88.1, {(1, 128): 6.0, (8, 128): 30.0})
    point.milliseconds(4, 100)

A latency between two measured batch sizes or lengths lies on the line between them. A measurement that says that more
work takes less time is raised to that of the smaller batch or length: a plan made with it is never too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Point:
    """A way to answer: a sub-model in a precision, with exits or without.

    score: in points, None when nobody measured it. measured: (batch size, length) -> milliseconds, every batch size
    with every length. ValueError when that is not so.
    """

    name: str
    score: float | None
    measured: Mapping[tuple[int, int], float]

    def __post_init__(self) -> None:
        if len(self.measured) == 0 or len(self.measured) != len(self.batches) * len(self.lengths):
            raise ValueError("a latency is missing: every batch size is measured at every length")

    @cached_property
    def batches(self) -> tuple[int, ...]:
        return tuple(sorted({batch for batch, _ in self.measured}))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        return tuple(sorted({length for _, length in self.measured}))

    @property
    def largest_batch(self) -> int:
        return self.batches[-1]

    @cached_property
    def _grid(self) -> NDArray[np.float64]:
        """[batches, lengths], ascending in both."""
        grid = np.asarray([[self.measured[batch, length] for length in self.lengths] for batch in self.batches])
        ascending: NDArray[np.float64] = np.maximum.accumulate(np.maximum.accumulate(grid, axis=0), axis=1)
        return ascending

    def milliseconds(self, batch: int, length: int) -> float:
        """Of one call. Below the smallest batch or length: as there. ValueError beyond the largest."""
        if not 1 <= batch <= self.largest_batch or length > self.lengths[-1]:
            raise ValueError(f"{self.name}: batch {batch} of length {length} is beyond what was measured")
        by_batch = [np.interp(length, self.lengths, row) for row in self._grid]
        return float(np.interp(batch, self.batches, by_batch))


def value_of(point: Point) -> float:
    """The score for comparing; where nobody measured any, all are the same."""
    return 0.0 if point.score is None else point.score


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: none is at least as fast everywhere and scores as much. In their order.

    Of equals the first one stays.
    """
    kept = []
    for place, point in enumerate(points):
        others = [(other, number < place) for number, other in enumerate(points) if number != place]
        if not any(_beats(other, point, first) for other, first in others):
            kept.append(point)
    return kept


def _beats(other: Point, point: Point, first: bool) -> bool:
    """Whether `point` is no use beside `other`; `first`: the other stands before it."""
    if other.largest_batch < point.largest_batch or other.lengths[-1] < point.lengths[-1]:
        return False
    # Both are linear between these, so where one is not slower here it is nowhere slower.
    batches = sorted({1, *point.batches, *(size for size in other.batches if size <= point.largest_batch)})
    lengths = sorted({*point.lengths, *(length for length in other.lengths if length <= point.lengths[-1])})
    gains = [
        point.milliseconds(batch, length) - other.milliseconds(batch, length) for batch in batches for length in lengths
    ]
    better = value_of(other) - value_of(point)
    if min(gains) < 0 or better < 0:
        return False
    more = other.largest_batch > point.largest_batch or other.lengths[-1] > point.lengths[-1]
    return max(gains) > 0 or better > 0 or more or first
