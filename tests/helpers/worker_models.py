"""What the worker processes of test_workers.py open instead of a bundle."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ofa_bert.errors import RunError, UserError
from ofa_bert.exits.loop import Answers


def doubling(threads, pause=0.0, wide=1):
    """Logits are twice the ids, repeated `wide` times."""

    def run(input_ids, token_type_ids):
        time.sleep(pause)
        return np.tile(input_ids * 2.0, (1, wide))

    return SimpleNamespace(run=run)


def telling(threads):
    """What the process is: its id, threads, affinity, and whether NumPy came before they were set."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

    def run(input_ids, token_type_ids):
        cores = sorted(os.sched_getaffinity(0))
        return {
            "pid": os.getpid(),
            "threads": [threads, *(int(os.environ[name]) for name in names)],
            "cores": cores,
            "all_threads_on": sorted(
                {tuple(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")}
            ),
        }

    return SimpleNamespace(run=run)


def fragile(threads, poison, marks=None):
    """Is killed by a batch that holds `poison`: always, or, with a directory `marks`, the first time only."""

    def run(input_ids, token_type_ids):
        if poison in input_ids:
            mark = Path(marks or ".") / "killed"
            if marks is None or not mark.exists():
                mark.touch() if marks else None
                os.kill(os.getpid(), signal.SIGKILL)
        return input_ids * 2.0

    return SimpleNamespace(run=run)


def failing(threads):
    def run(input_ids, token_type_ids):
        raise IndexError("position 600 is out of range\nmore lines")

    return SimpleNamespace(run=run)


def refusing(threads, code=2):
    raise (UserError if code == 2 else RunError)("no such file: model.onnx; export it")


def crashing(threads):
    os.kill(os.getpid(), signal.SIGABRT)


def stopping(threads):
    os.kill(os.getpid(), signal.SIGSTOP)


def layered(threads):
    """Twice the ids, and as layers the number of the row."""

    def run(input_ids, token_type_ids):
        return Answers((input_ids * 2).astype("f4"), np.arange(len(input_ids)))

    return SimpleNamespace(run=run)


def opening_once(threads, marks):
    """Loads when the directory `marks` is empty, and leaves something there; otherwise it crashes."""
    if any(Path(marks).iterdir()):
        crashing(threads)
    (Path(marks) / "opened").touch()
    return doubling(threads)
