"""Wall-clock measurement: alternatives run in turn in one run, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from typing import Callable, Mapping

import numpy as np
from tqdm import tqdm

FEWEST = 3  # rounds that are timed even when they take longer than allowed


def in_turn(
    runs: Mapping[str, Callable[[], object]],
    repeats: int = 15,
    warmup: int = 3,
    seconds: float = float("inf"),
    settle: bool = False,
    label: str = "",
) -> dict[str, np.ndarray]:
    """Milliseconds [rounds] of each alternative; every round runs each of them once, after `warmup` untimed rounds.

    The callables must return when their work is done (a GPU's are to be synchronised). After FEWEST timed rounds
    none is begun that would end later than `seconds`. settle: an untimed call goes before each timed one, so that
    no alternative pays for the caches and sleeping threads that another one left. label: of a progress bar.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    begun = time.perf_counter()
    for number in tqdm(range(warmup + repeats), desc=label, unit="round", leave=False, disable=not label):
        round_begun = time.perf_counter()
        for name, run in runs.items():
            if settle and number >= warmup:
                run()
            started = time.perf_counter()
            run()
            if number >= warmup:
                times[name].append((time.perf_counter() - started) * 1e3)
        now = time.perf_counter()
        if number + 1 >= warmup + FEWEST and 2 * now - round_begun - begun > seconds:
            break
    return {name: np.asarray(values) for name, values in times.items()}
