"""Wall-clock measurement: alternatives run in turn in one run, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from typing import Callable, Mapping

import numpy as np


def in_turn(runs: Mapping[str, Callable[[], object]], repeats: int = 15, warmup: int = 3) -> dict[str, np.ndarray]:
    """Milliseconds [repeats] of each alternative; every round runs each of them once, after `warmup` untimed rounds.

    The callables must return when their work is done (a GPU's are to be synchronised).
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(warmup + repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if round_number >= warmup:
                times[name].append((time.perf_counter() - started) * 1e3)
    return {name: np.asarray(values) for name, values in times.items()}
