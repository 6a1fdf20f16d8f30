"""One step as a process of its own, all it says in its log."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import ofa_bert
from ofa_bert.errors import RunError, UserError
from ofa_bert.system import child_process
from seed_page.plan import Step

PROGRAM = ("python", "-m", "ofa_bert")
ON = "the same command goes on from there"
_WAIT = 60  # seconds that a training which was told to stop may take to end
_TAIL = 20_000


def command(step: Step) -> str:
    return shlex.join([*PROGRAM, *step.words])


def run(step: Step, log: Path) -> None:
    """To its end. UserError or RunError, as the command's own, when it fails or leaves no whole result."""
    log.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(ofa_bert.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with log.open("ab") as file:
        begin = file.tell()
        file.write(f"$ {command(step)}\n".encode())
        file.flush()
        code = _wait(
            subprocess.Popen(
                [sys.executable, *PROGRAM[1:], *step.words],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
            )
        )  # fmt: skip
    if code:
        _fail(step, log, code, _said(log, begin))
    if not step.whole():
        raise RunError(f"{step.title}: ended without a whole result in {step.place}; {log} may say why")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; when this program is to stop, so is the process."""
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(_WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def _said(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - _TAIL))
        return file.read().decode("utf-8", errors="replace")


def _fail(step: Step, log: Path, code: int, said: str) -> NoReturn:
    reason = child_process.why(code, said).removeprefix("error: ")
    kind = UserError if code == UserError.exit_code else RunError
    raise kind(f"{step.title}: {reason} (all of it: {log})")
