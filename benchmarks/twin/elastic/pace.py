"""How fast an encoder learns at which step, and when it is done: by steps, or by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from twin.schedule import Schedule


@dataclass(frozen=True)
class BySteps:
    schedule: Schedule

    def factor(self, step: int) -> float | None:
        """Of the peak learning rate; None after the last step."""
        return self.schedule.factor(step) if step < self.schedule.steps else None


@dataclass
class ByTime:
    """Up during `warmup`, a share of the seconds, and down to 0 at their end. The clock starts with the first step."""

    seconds: float
    warmup: float
    clock: Callable[[], float] = time.monotonic
    started: float | None = field(default=None, init=False)

    def factor(self, step: int) -> float | None:
        """As of `BySteps`."""
        now = self.clock()
        if self.started is None:
            self.started = now
        done = (now - self.started) / self.seconds
        if done >= 1:
            return None
        return done / self.warmup if done < self.warmup else (1 - done) / (1 - self.warmup)


Pace = BySteps | ByTime
