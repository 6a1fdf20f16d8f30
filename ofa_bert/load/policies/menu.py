"""What the points can do in a given time, as tables that are looked up without arithmetic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ofa_bert.load.points import Point, value_of
from ofa_bert.load.policies.base import SLIP, Request, Run

# Requests that a decision looks at, beside those it turns away: those behind them are not urgent, and a queue that
# nobody sheds can have any length.
WINDOW = 512


class Choice(NamedTuple):
    """A point and how many requests it takes."""

    place: int
    batch: int
    milliseconds: float


class Menu:
    """The points, best score first; lengths are told apart by buckets, whose ends are the measured lengths."""

    def __init__(self, points: Sequence[Point]) -> None:
        if not points:
            raise ValueError("a menu needs a point")
        self.points = sorted(points, key=lambda point: (-value_of(point), point.milliseconds(1, 1)))
        self.scores = [value_of(point) for point in self.points]
        longest = min(point.lengths[-1] for point in points)
        self.buckets = sorted({length for point in points for length in point.lengths if length <= longest})
        # [points][buckets][batch]: ascending; a batch of 0 takes no time
        self.tables = [
            [
                [0.0, *(point.milliseconds(size, end) for size in range(1, point.largest_batch + 1))]
                for end in self.buckets
            ]
            for point in self.points
        ]
        self.largest_batch = max(point.largest_batch for point in points)
        # [buckets][batch]: by whichever point is fastest; ascending too
        self.quickest = [
            [
                min(table[bucket][size] for table in self.tables if size < len(table[bucket]))
                for size in range(self.largest_batch + 1)
            ]
            for bucket in range(len(self.buckets))
        ]
        self.fastest = [times[1] for times in self.quickest]

    def bucket(self, request: Request) -> int:
        """ValueError when it is longer than what was measured."""
        if request.length > self.buckets[-1]:
            raise ValueError(f"a request of length {request.length}, points end at {self.buckets[-1]}")
        return bisect_left(self.buckets, request.length)

    def most(self, place: int, bucket: int, slack: float) -> int:
        """The largest batch that a point answers within so many milliseconds; 0: none."""
        return bisect_right(self.tables[place][bucket], slack + SLIP) - 1

    def hopeless(self, now: float, queue: Sequence[Request]) -> tuple[Request, ...]:
        """Those that even the fastest point would answer late."""
        found = []
        limit = now + self.fastest[-1] - SLIP
        for request in queue:
            if request.deadline >= limit:
                break
            if request.deadline < now + self.fastest[self.bucket(request)] - SLIP:
                found.append(request)
        return tuple(found)

    def alike(self, queue: Sequence[Request], bucket: int) -> Iterator[Request]:
        """Those of this bucket, in order."""
        low = self.buckets[bucket - 1] if bucket else -1
        high = self.buckets[bucket]
        return (request for request in queue if low < request.length <= high)

    def run(self, choice: Choice, requests: Sequence[Request]) -> Run:
        return Run(self.points[choice.place], tuple(requests), choice.milliseconds)


def first_of(queue: Sequence[Request], without: tuple[Request, ...]) -> list[Request]:
    """The most urgent requests, without those that are turned away."""
    if not without:
        return list(islice(queue, WINDOW))
    gone = set(without)
    return list(islice((request for request in queue if request not in gone), WINDOW))
