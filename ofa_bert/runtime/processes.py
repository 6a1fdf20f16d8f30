"""Which cores a worker process gets, and that a model stays in the process that opened it."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from ofa_bert.errors import UserError

logger = logging.getLogger(__name__)


def check_process(owner: int) -> None:
    """UserError in a process forked after `owner` opened a model: its threads and workers did not come along."""
    if os.getpid() != owner:
        raise UserError(
            f"this model was opened in process {owner}, and this is process {os.getpid()}; open one in each process"
        )


def core_groups(count: int, threads: int, topology: str = "/sys/devices/system/cpu") -> list[list[int]]:
    """For each of `count` workers the `threads` logical cores that it runs on; empty lists where cores cannot be set.

    Cores whose two hardware threads would both be used are given to one worker. When there are more threads than
    cores, workers share.
    """
    if not hasattr(os, "sched_setaffinity"):
        return [[] for _ in range(count)]
    places: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        places.setdefault(_place(cpu, Path(topology)), []).append(cpu)
    siblings = [places[place] for place in sorted(places)]
    cpus = [group[0] for group in siblings] if count * threads <= len(siblings) else list(itertools.chain(*siblings))
    if count * threads > len(cpus):
        logger.warning("%d workers x %d threads share %d cores; they will be slow", count, threads, len(cpus))
    turns = itertools.cycle(cpus)
    return [sorted(set(itertools.islice(turns, threads))) for _ in range(count)]


def _place(cpu: int, topology: Path) -> tuple[int, int]:
    """(package, core) of a logical core; a core of its own where the system does not say."""
    folder = topology / f"cpu{cpu}" / "topology"
    try:
        return int((folder / "physical_package_id").read_text()), int((folder / "core_id").read_text())
    except (OSError, ValueError):
        return -1, cpu
