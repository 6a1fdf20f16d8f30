"""SlackFit (SuperServe, NSDI 25): the slack of the most urgent request says how large a batch and how good a point.

Under load requests wait, slack shrinks, and only fast points answer as many as wait; when the load falls, the score
returns by itself. Nothing is predicted. Beyond the paper: free workers share what waits, the last free worker is not
taken for so long that the next request must be late, similar lengths are batched, and priorities are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter

from ofa_bert.load.points import Point
from ofa_bert.load.policies.base import SLIP, Decision, Request, Run
from ofa_bert.load.policies.menu import Choice, Menu, first_of

# A larger batch is worth something where it takes less time than two smaller ones by this share.
_WORTH = 0.1
_LENGTH = Request._fields.index("length")


class SlackFit:
    """Earliest deadline first; the largest batch that meets every deadline in it, and of equal ones the best score.

    patience: the share of the time it could wait for one more request, at no cost in score, that it does wait. In
    simulations of two and four workers a quarter brought the score that waiting brings, for few milliseconds.
    """

    def __init__(self, points: Sequence[Point], patience: float = 0.25) -> None:
        self.menu = Menu(points)
        self.patience = patience

    def decide(self, now: float, queue: Sequence[Request], free_workers: int) -> Decision:
        rejected = self.menu.hopeless(now, queue)
        if free_workers == 0:
            return Decision(rejected=rejected)
        live = first_of(queue, rejected)
        if not live:
            return Decision(rejected=rejected)
        run = self._by_priority(now, live, free_workers)
        until = self._wait_until(run, live, free_workers)
        if until > now + SLIP:
            return Decision(wait_until=until, rejected=rejected)
        return Decision(run, rejected=rejected)

    def _by_priority(self, now: float, live: Sequence[Request], free: int) -> Run:
        """The run for all that wait, or, while it would make a higher priority late, for the higher ones alone."""
        levels = sorted({request.priority for request in live})
        candidates = live
        for level in levels:
            if level > levels[0]:
                candidates = [request for request in candidates if request.priority >= level]
            run = self._choose(now, candidates, free)
            lowest = min(request.priority for request in run.requests)
            if lowest == levels[-1]:
                break
            taken = {request.identity for request in run.requests}
            higher = [each for each in candidates if each.priority > lowest and each.identity not in taken]
            if self._answerable(now + run.milliseconds, higher):
                break
        return run

    def _answerable(self, now: float, requests: Sequence[Request]) -> bool:
        """Whether one worker that is free from now on answers all in time, by the fastest points, batch after batch."""
        if not requests:
            return True
        times = self.menu.quickest[self.menu.bucket(max(requests, key=itemgetter(_LENGTH)))]
        done = 0
        while done < len(requests):
            batch = bisect_right(times, requests[done].deadline - now + SLIP) - 1
            if batch == 0:
                return False
            batch = min(batch, len(requests) - done)
            now += times[batch]
            done += batch
        return True

    def _choose(self, now: float, live: Sequence[Request], free: int) -> Run:
        """A run that begins with the most urgent request, which some point answers in time."""
        head = live[0]
        bucket = self.menu.bucket(head)
        alike = list(islice(self.menu.alike(live, bucket), self.menu.largest_batch))
        want = self._share(len(alike), len(live), bucket, head.deadline - now, free)
        choice = self._fit(want, bucket, head, now, free)
        taken = alike[: choice.batch]
        if free == 1 and len(alike) < len(live):
            forced = self._forced(now, live, bucket, choice)
            if forced:
                widest = max(bucket, *map(self.menu.bucket, forced))
                again = self._fit(len(taken) + len(forced), widest, head, now, free)
                if again.batch > len(taken):
                    return self.menu.run(again, (taken + forced)[: again.batch])
        return self.menu.run(choice, taken)

    def _share(self, alike: int, waiting: int, bucket: int, slack: float, free: int) -> int:
        """How many one of the free workers takes: all, where that costs no score and saves time, else its part."""
        part = min(alike, -(-waiting // free))
        if part < alike and alike <= self.menu.most(0, bucket, slack):
            table = self.menu.tables[0][bucket]
            if table[alike] <= (1 - _WORTH) * (table[part] + table[alike - part]):
                return alike
        return part

    def _fit(self, want: int, bucket: int, head: Request, now: float, free: int) -> Choice:
        """Largest batch first, then leaving time for who comes next, then the best score; a batch of 0: none fits."""
        slack = head.deadline - now
        allowed = head.deadline - head.arrival - self.menu.fastest[bucket] + SLIP
        best, best_key = Choice(0, 0, 0.0), (0, False, 0.0, 0.0)
        for place, tables in enumerate(self.menu.tables):
            batch = min(want, self.menu.most(place, bucket, slack))
            if batch < max(1, best.batch):
                continue
            took = tables[bucket][batch]
            key = (batch, free > 1 or took <= allowed, self.menu.scores[place], -took)
            if key > best_key or not best.batch:
                best, best_key = Choice(place, batch, took), key
        return best

    def _forced(self, now: float, live: Sequence[Request], bucket: int, choice: Choice) -> list[Request]:
        """Requests of other lengths that would be late if they waited for the end of this run."""
        end = now + choice.milliseconds
        found = []
        for request in live:
            if request.deadline >= end + self.menu.fastest[-1]:
                break
            own = self.menu.bucket(request)
            if own != bucket and request.deadline < end + self.menu.fastest[own] - SLIP:
                found.append(request)
        return found

    def _wait_until(self, run: Run, live: Sequence[Request], free: int) -> float:
        """Until when another request may join: all that wait still get the best score in time, and another worker is
        free for who comes while this one works. The beginning of time: not at all.
        """
        never = float("-inf")
        if free == 1 or len(run.requests) < len(live) or run.point is not self.menu.points[0]:
            return never
        size, bucket = len(run.requests), max(map(self.menu.bucket, run.requests))
        table = self.menu.tables[0][bucket]
        if size + 1 >= len(table) or table[size + 1] > (1 - _WORTH) * (table[size] + table[1]):
            return never
        first = run.requests[0]
        return first.arrival + self.patience * (first.deadline - table[size + 1] - first.arrival)
