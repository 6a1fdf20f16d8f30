"""Wall-clock measurement: alternatives run in turn in one run, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from ofa_bert.numerics import Floats
from ofa_bert.progress import Progress

Name = TypeVar("Name", bound=Hashable)
FEWEST = 3  # rounds that are timed even when they take longer than allowed


# MKL's and OpenMP's threads keep their cores busy for 0.2 s after their work, and would slow down whatever runs next.
SPIN_SECONDS = 0.25


def in_turn(
    runs: Mapping[Name, Callable[[], object]],
    repeats: int = 15,
    warmup: int = 3,
    seconds: float = float("inf"),
    settle: Callable[[Name, Name], object] | None = None,
    label: str = "",
) -> dict[Name, Floats]:
    """Milliseconds [rounds] of each alternative; every round runs each of them once, after `warmup` untimed rounds.

    The callables must return when their work is done (a GPU's are to be synchronised). After FEWEST timed rounds
    none is begun that would end later than `seconds`. settle(previous, next) is called, untimed, before each timed
    run: an alternative need not pay for the caches and busy threads that another one left. label: of a progress bar.
    """
    times: dict[Name, list[float]] = {name: [] for name in runs}
    previous = list(runs)[-1]
    begun = time.perf_counter()
    for number in Progress(range(warmup + repeats), desc=label, unit="round", leave=False, disable=not label):
        round_begun = time.perf_counter()
        for name, run in runs.items():
            if settle is not None and number >= warmup:
                settle(previous, name)
            started = time.perf_counter()
            run()
            if number >= warmup:
                times[name].append((time.perf_counter() - started) * 1e3)
            previous = name
        now = time.perf_counter()
        if number + 1 >= warmup + FEWEST and 2 * now - round_begun - begun > seconds:
            break
    return {name: np.asarray(values) for name, values in times.items()}
