"""What SlackFit is compared with: one point for all requests, and the two greedy rules of its paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import islice

from ofa_bert.load.points import Point
from ofa_bert.load.policies.base import Decision, Request
from ofa_bert.load.policies.menu import Choice, Menu, first_of


class Fixed:
    """One point for all; as many as wait and fit into a batch, and nobody is turned away."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.menu = Menu(points[:1])

    def decide(self, now: float, queue: Sequence[Request], free_workers: int) -> Decision:
        if free_workers == 0 or not queue:
            return Decision()
        live = first_of(queue, ())
        bucket = self.menu.bucket(live[0])
        table = self.menu.tables[0][bucket]
        taken = list(islice(self.menu.alike(live, bucket), len(table) - 1))
        return Decision(self.menu.run(Choice(0, len(taken), table[len(taken)]), taken))


class _Greedy(ABC):
    """Turns away what no point answers in time; of the rest the most urgent decides."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.menu = Menu(points)

    def decide(self, now: float, queue: Sequence[Request], free_workers: int) -> Decision:
        rejected = self.menu.hopeless(now, queue)
        live = first_of(queue, rejected) if free_workers else []
        if not live:
            return Decision(rejected=rejected)
        bucket = self.menu.bucket(live[0])
        alike = list(self.menu.alike(live, bucket))
        choice = self._choose(len(alike), bucket, live[0].deadline - now)
        return Decision(self.menu.run(choice, alike[: choice.batch]), rejected=rejected)

    @abstractmethod
    def _choose(self, waiting: int, bucket: int, slack: float) -> Choice:
        """Which point answers how many of those that wait, all of about one length, within the slack."""

    def _choices(self, waiting: int, bucket: int, slack: float) -> list[Choice]:
        """Every point that answers one request in time, with its largest batch; best score first."""
        sizes = [min(waiting, self.menu.most(place, bucket, slack)) for place in range(len(self.menu.points))]
        return [Choice(place, size, self.menu.tables[place][bucket][size]) for place, size in enumerate(sizes) if size]


class AccuracyFirst(_Greedy):
    """The best score that answers the most urgent request in time, then as many as fit (MaxAcc)."""

    def _choose(self, waiting: int, bucket: int, slack: float) -> Choice:
        return self._choices(waiting, bucket, slack)[0]


class BatchFirst(_Greedy):
    """The largest batch that meets the most urgent deadline, then the best score (MaxBatch)."""

    def _choose(self, waiting: int, bucket: int, slack: float) -> Choice:
        return max(self._choices(waiting, bucket, slack), key=lambda choice: choice.batch)  # the first of equals


class FixedShed(BatchFirst):
    """One point for all; what it cannot answer in time is turned away."""

    def __init__(self, points: Sequence[Point]) -> None:
        super().__init__(points[:1])
