"""Runs something under limits of time and memory, in a process of its own, and says how it ended."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from helpers.paths import ROOT, TESTS


class TooLongError(BaseException):
    """No Exception, so that nothing that is tested can take it for damage."""


@contextmanager
def limits(seconds: float, mebibytes: int) -> Iterator[None]:
    """At most so many seconds, else TooLongError; at most so much memory more than now, else MemoryError.

    Seconds of computing; ten times as many may pass, because other programs compute on this machine too.
    """

    def ring(*_: Any) -> None:
        raise TooLongError

    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    previous = [(number, signal.signal(number, ring)) for number in (signal.SIGALRM, signal.SIGPROF)]
    resource.setrlimit(resource.RLIMIT_AS, (now + (mebibytes << 20), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        for number, handler in previous:
            signal.signal(number, handler)


def outcome(read: Callable[[], Any], seconds: float, mebibytes: int) -> str:
    """ "works", "refused: <message>" for a clear line, or "fault: <what>"."""
    from ofa_bert.errors import UserError

    started = time.monotonic()
    try:
        with limits(seconds, mebibytes):
            read()
    except UserError as error:
        message = str(error)
        if "\n" in message or len(message) > 2000 or not message.isprintable():
            return f"fault: a message of {len(message)} characters that is no line: {message[:300]!r}"
        # Small files: whatever does not fit into the memory asked for too much.
        return f"fault: {message}" if "fit into the memory" in message else f"refused: {message}"
    except BaseException as error:  # a Rust panic, SystemExit and TooLongError among them
        return f"fault: {type(error).__name__} after {time.monotonic() - started:.1f} s: {str(error)[:300]}"
    return "works"


def in_process(module: str, arguments: Sequence[str], seconds: float) -> list[Any]:
    """The JSON lines that `python -m module arguments` writes to its standard output; AssertionError for a bad end.

    What hangs where Python handles no signal ends with the whole process, after `seconds`.
    """
    command = [sys.executable, "-m", module, *arguments]
    path = f"{ROOT}:{TESTS}"
    environment = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd=TESTS, env=environment, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{module} hangs behind {(late.stdout or b'nothing')[-500:]!r}") from late
    lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    assert done.returncode == 0, f"exit code {done.returncode} behind {lines[-1:]}: {done.stderr[-1500:]}"
    assert "panicked" not in done.stderr, done.stderr[:1500]  # Rust's own trace, which no except holds back
    return [json.loads(line) for line in lines]
