"""What a policy is asked and what it answers; all times are milliseconds on whatever clock the caller has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ofa_bert.load.points import Point

# A plan that ends this much after a deadline is in time: sums of floats are not exact.
SLIP = 1e-6


class Request(NamedTuple):
    """What waits for an answer. Requests compare by deadline, and of equal ones the earlier one is first."""

    deadline: float
    identity: int  # in the order of arrival
    arrival: float
    length: int = 1  # tokens
    priority: int = 0  # higher ones matter more


@dataclass(frozen=True, slots=True)
class Run:
    """Requests that a worker answers together; `milliseconds` is what that is planned to take."""

    point: Point
    requests: tuple[Request, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: at most one run; when to ask again if nothing happens before; whom to turn away.

    After a run the caller asks again, with the rest of the queue and one free worker less.
    """

    run: Run | None = None
    wait_until: float | None = None
    rejected: tuple[Request, ...] = ()


class Policy(Protocol):
    """decide: pure. `queue` is sorted, earliest deadline first."""

    def decide(self, now: float, queue: Sequence[Request], free_workers: int) -> Decision: ...
