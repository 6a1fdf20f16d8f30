"""Discrete events: requests of a trace, a policy, and workers that take as long as was measured."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ofa_bert.load.points import value_of
from ofa_bert.load.policies.base import SLIP, Policy, Request, Run
from ofa_bert.load.traces import Trace

NEVER = float("inf")


@dataclass(frozen=True)
class Answer:
    """When a request was answered, in milliseconds, and by which point."""

    request: Request
    end: float
    point: str
    score: float

    @property
    def in_time(self) -> bool:
        return self.end <= self.request.deadline + SLIP


@dataclass
class Outcome:
    """What came of a trace: every request is answered, in time or late, or rejected."""

    workers: int
    answers: list[Answer] = field(default_factory=list)
    rejected: list[Request] = field(default_factory=list)
    runs: list[tuple[float, Run]] = field(default_factory=list)  # with their begins

    @property
    def requests(self) -> int:
        return len(self.answers) + len(self.rejected)

    @property
    def in_time(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.in_time]

    @property
    def attainment(self) -> float:
        """The share of all requests that was answered within the deadline."""
        return len(self.in_time) / self.requests if self.requests else 1.0

    @property
    def score_answered(self) -> float | None:
        """Mean over what was answered in time; None when nothing was."""
        scores = [answer.score for answer in self.in_time]
        return float(np.mean(scores)) if scores else None

    @property
    def score_all(self) -> float:
        """Mean over all requests, where what was rejected or late counts as 0."""
        return sum(answer.score for answer in self.in_time) / self.requests if self.requests else 0.0

    @property
    def utilisation(self) -> float:
        """The share of their time in which workers worked, until the last answer."""
        end = max((answer.end for answer in self.answers), default=0.0)
        return sum(run.milliseconds for _, run in self.runs) / (self.workers * end) if end else 0.0

    def percentiles(self, wanted: Iterable[float] = (50, 95, 99)) -> list[float] | None:
        """Milliseconds from arrival to answer, late ones among them; None when nothing was answered."""
        waits = [answer.end - answer.request.arrival for answer in self.answers]
        return [float(value) for value in np.percentile(waits, list(wanted))] if waits else None

    def answered_by(self) -> dict[str, int]:
        """Point -> requests, the most frequent first."""
        return dict(Counter(answer.point for answer in self.answers).most_common())

    def attainment_by_priority(self) -> dict[int, float]:
        total = Counter(request.priority for request in self.rejected)
        total.update(answer.request.priority for answer in self.answers)
        met = Counter(answer.request.priority for answer in self.in_time)
        return {priority: met[priority] / count for priority, count in sorted(total.items(), reverse=True)}


def requests_of(trace: Trace, deadline: float) -> list[Request]:
    """Each with the deadline so many milliseconds after its arrival."""
    columns = zip(trace.seconds.tolist(), trace.lengths.tolist(), trace.priorities.tolist())
    return [Request(at * 1e3 + deadline, n, at * 1e3, length, rank) for n, (at, length, rank) in enumerate(columns)]


def simulate(arriving: list[Request], policy: Policy, workers: int) -> Outcome:
    """Play it. `arriving`: by arrival. ValueError when the policy does not do one of what it may."""
    outcome = Outcome(workers)
    queue: list[Request] = []
    ends: list[float] = []  # of the runs that go on, a heap
    wake, place = NEVER, 0
    while True:
        arrival = arriving[place].arrival if place < len(arriving) else NEVER
        now = min(arrival, ends[0] if ends else NEVER, wake)
        if now == NEVER:
            break
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        while place < len(arriving) and arriving[place].arrival <= now:
            insort(queue, arriving[place])
            place += 1
        wake = _decide(now, queue, ends, policy, outcome)
        if queue and not ends and wake == NEVER:
            raise ValueError(
                f"with all workers free the policy leaves {len(queue)} requests without a time to ask again"
            )
    return outcome


def _decide(now: float, queue: list[Request], ends: list[float], policy: Policy, outcome: Outcome) -> float:
    """Ask until nothing more is to be done now; when to ask again, NEVER: at the next event."""
    while queue:
        free = outcome.workers - len(ends)
        decision = policy.decide(now, queue, free)
        _remove(queue, decision.rejected)
        outcome.rejected += decision.rejected
        run = decision.run
        if run is None:
            if decision.wait_until is not None and decision.wait_until <= now:
                raise ValueError("the policy waits for a time that is over")
            return NEVER if decision.wait_until is None else decision.wait_until
        if not free or not run.requests:
            raise ValueError("the policy starts a run without a free worker or without a request")
        _remove(queue, run.requests)
        end = now + run.milliseconds
        heapq.heappush(ends, end)
        outcome.runs.append((now, run))
        score = value_of(run.point)
        outcome.answers += [Answer(request, end, run.point.name, score) for request in run.requests]
    return NEVER


def _remove(queue: list[Request], requests: tuple[Request, ...]) -> None:
    if queue[: len(requests)] == list(requests):  # most often: the most urgent ones
        del queue[: len(requests)]
        return
    for request in requests:
        place = bisect_left(queue, request)
        if place == len(queue) or queue[place] != request:
            raise ValueError("the policy takes a request that does not wait")
        del queue[place]
