"""A module of this package run as a process of its own: a JSON request goes in, the last line it prints comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ofa_bert
from ofa_bert.errors import UserError
from ofa_bert.system import environment

_WAIT = 10  # seconds that a process which was told to stop may take


def ask(module: str, request: Mapping[str, object], seconds: float | None = None) -> dict[str, object]:
    """The module's answer, or {"error": why there is none}. It is ended when it takes longer than `seconds`."""
    try:
        code, out, complaint = finish([sys.executable, "-m", module], json.dumps(request), seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"it was ended after {seconds:.0f} s without an answer"}
    answers = [line for line in out.splitlines() if line.startswith("{")]  # libraries may say goodbye after it
    if code or not answers:
        return {"error": why(code, complaint)}
    return dict(json.loads(answers[-1]))


class Finished(NamedTuple):
    """What a process ended with; a negative code is the signal that ended it."""

    code: int
    out: str
    complaint: str


def finish(command: Sequence[str], request: str = "", seconds: float | None = None) -> Finished:
    """Run a command that finds this package, to its end; what it started ends with it. May raise TimeoutExpired."""
    paths = [str(Path(ofa_bert.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        start_new_session=True,  # its children can be ended with it
    )
    try:
        out, complaint = process.communicate(request, timeout=seconds)
    except BaseException:
        _end(process)
        raise
    return Finished(process.returncode, out, complaint)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it started. First kindly: Paddle's launcher ends its own, which are in other sessions."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_WAIT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def why(code: int, complaint: str) -> str:
    """In words, why a process failed that ended with this code."""
    if code < 0:
        memory = ", most often for too little memory" if code == -signal.SIGKILL else ""
        return f"its process was ended by {_named(-code)}{memory}"
    return (complaint.strip().splitlines() or ["it failed without a word"])[-1]


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the system's own
        return f"signal {number}"


def answer(work: Callable[[dict[str, object]], Mapping[str, object]]) -> int:
    """What the module's main does: read the request, print what `work` makes of it."""
    environment.prepare()
    try:
        result: Mapping[str, object] = work(json.loads(sys.stdin.read()))
    except UserError as error:
        result = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0
