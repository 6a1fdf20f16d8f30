"""python -m robustness.kills DIRECTORY STRIDE JOB...: kills each job before each of its steps on the disk.

A step is an fsync, a rename, an exchange of two directories, or the removal of one file or folder: whatever happens
between two of them leaves the same names. Children are forked, so that Paddle is loaded once. JSON lines say what
became of what was killed, and of the same job done again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

STEPS = ("fsync", "rename", "replace", "unlink", "rmdir")


@dataclass(frozen=True)
class Job:
    """`prepare` makes what is there before; `act` changes it, `again` repairs what a kill left (default: `act`).

    state: what a reader finds, as JSON. Between old and new a job of several files may have `between` states.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    state: Callable[[Path], Any]
    again: Callable[[Path], object] | None = None
    between: bool = False
    exchange: bool = True


def die_before(number: int) -> None:
    """Kill this process before its `number`-th step."""
    from ofa_bert.files import atomic

    taken = count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if next(taken) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return step

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    atomic._exchange = counted(atomic._exchange)


def forked(work: Callable[[], Any]) -> tuple[bool, Any]:
    """(whether it was killed, what it returned), from a process of its own; AssertionError when it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            said = json.dumps({"result": work()})
        except BaseException:
            said = json.dumps({"raised": traceback.format_exc()[-1500:]})
        with os.fdopen(writing, "w") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True, None
    found = json.loads(said)
    assert "raised" not in found, found["raised"]
    return False, found["result"]


def leftovers(directory: Path) -> list[str]:
    """What nobody asked for. A lock that was left says of itself that it is stale."""
    return sorted(path.name for path in directory.rglob(".*") if not path.name.endswith(".ofa-lock"))


def drive(job: Job, home: Path, stride: int) -> dict[str, Any]:
    """What differs: a kill that leaves neither the old nor the new state, or a job done again that ends otherwise."""
    home.mkdir()
    forked(lambda: job.prepare(home / "old") and None)
    shutil.copytree(home / "old", home / "new")
    forked(lambda: job.act(home / "new") and None)
    old, new = (forked(lambda where=where: job.state(home / where))[1] for where in ("old", "new"))
    assert old != new, "the job changes nothing"
    found: dict[str, Any] = {"kills": 0, "faults": [], "left": {"old": 0, "new": 0, "between": 0}}
    for number in count(1, stride):
        where = home / str(number)
        shutil.copytree(home / "old", where)
        if not forked(lambda where=where, number=number: _killed(job, where, number))[0]:
            return found
        found["kills"] += 1
        for what, ended in _ends(job, where, old, new):
            if what == "fault":
                found["faults"].append(f"before step {number}: {ended}")
            else:
                found["left"][what] += 1
        shutil.rmtree(where)
    raise AssertionError("not reached")


def _killed(job: Job, where: Path, number: int) -> None:
    from ofa_bert.files import atomic

    if not job.exchange:
        atomic._exchange = lambda *_: False
    die_before(number)
    job.act(where)


def _ends(job: Job, where: Path, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    try:
        _, state = forked(lambda: job.state(where))
        if state in (old, new):
            yield ("old" if state == old else "new"), ""
        else:
            yield ("between", "") if job.between else ("fault", f"left {str(state)[:300]}")
        forked(lambda: (job.again or job.act)(where) and None)
        _, state = forked(lambda: job.state(where))
        if state != new:
            yield "fault", f"done again: {str(state)[:300]}"
        if leftovers(where):
            yield "fault", f"done again, there are still {leftovers(where)}"
    except AssertionError as error:
        yield "fault", str(error)


if __name__ == "__main__":
    from ofa_bert.system import environment
    from robustness.kill_jobs import JOBS, WITHOUT_PADDLE

    if not set(sys.argv[3:]) <= set(WITHOUT_PADDLE):
        environment.prepare()
        import paddlenlp.transformers  # noqa: F401  # once, before the forks

    for name in sys.argv[3:]:
        home = Path(sys.argv[1], name.replace(" ", "-"))
        print(json.dumps({"job": name, **drive(JOBS[name], home, int(sys.argv[2]))}), flush=True)
