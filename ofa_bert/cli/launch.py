"""A training in several processes of this machine, started by the command itself."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.options import arguments, option, values_of
from ofa_bert.system import environment

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROGRAM = Path(__file__).resolve().parents[1] / "__main__.py"  # by its path: the launcher knows no -m
LOGS = "logs"  # beside the results: what each process says
# Files in which the launcher copies the environment, which may hold secrets.
_OF_ENVIRONMENT = ("backup_env.*.json", "envlog.*", "default.*.log")
_WAIT = 30  # seconds that processes which were told to stop may take


@dataclass(frozen=True, kw_only=True)
class Launch:
    """On what a training runs side by side; each process has its part of every batch."""

    processes: int = option("train in so many processes at once, on a CPU's cores", 1, above=0)
    gpus: str | None = option("train on these cards at once, one process each, for example 0,1", None)

    def problems(self) -> list[str]:
        if self.gpus is None:
            return []
        cards = self.gpus.split(",")
        if not all(card.isdecimal() for card in cards) or len(set(cards)) < len(cards):
            return [f"`gpus` {self.gpus}: must be numbers of cards, each once, for example 0,1"]
        return ["`gpus` and `processes` exclude each other: a card has one process"] if self.processes > 1 else []


def parse_launched(
    cls: type[T],
    argv: Sequence[str] | None,
    description: str,
    epilog: str = "",
    *,
    command: str,
    elsewhere: Mapping[str, str] | None = None,
) -> tuple[T, Callable[[], None]]:
    """(what `parser.parse` makes of the command line, what starts the processes that it asks for).

    The second ends this process with the exit code of those that it started. It returns where one process was asked
    for, or when this is one of several. Call it once everything is checked that can be without Paddle.
    """
    fields: list[tuple[str, type, object]] = [
        ("job", cls, dataclasses.field()),
        ("launch", Launch, dataclasses.field(default=Launch())),
    ]
    both: object = parse(
        dataclasses.make_dataclass(cls.__name__, fields, frozen=True, kw_only=True),
        argv, description, epilog, command=command, elsewhere=elsewhere,
    )  # fmt: skip
    words = sys.argv[1:] if argv is None else argv
    said = [word for word in words if word in ("--verbose", "--quiet")]
    job, launch = (vars(both)[name] for name in ("job", "launch"))
    return job, partial(_start, launch, [command, *arguments(job), *said], values_of(job))


def _start(launch: Launch, words: Sequence[str], options: Mapping[str, object]) -> None:
    if launch.processes == 1 and launch.gpus is None:
        return
    given = f"`processes` {launch.processes}" if launch.gpus is None else f"`gpus` {launch.gpus}"
    if "PADDLE_TRAINERS_NUM" in os.environ:
        raise UserError(f"{given}: paddle.distributed.launch has started this process already; leave one of them out")
    wanted = "cpu" if launch.gpus is None else "gpu"
    if options["device"] != wanted:
        raise UserError(f"{given}: needs `device` {wanted}, and `device` is {options['device']}")
    cores = environment.cores()
    if launch.gpus is None and launch.processes > cores:
        logger.warning("%s: more than the %d cores of this machine; they will wait for each other", given, cores)
    logs = Path(str(options["output_dir"])) / LOGS
    how = ["--nproc_per_node", str(launch.processes)] if launch.gpus is None else ["--gpus", launch.gpus]
    # What the launcher itself says of a process that failed has all of this process's environment in it.
    saying = ["--log_level", "CRITICAL", "--log_dir", str(logs)]
    launcher = [sys.executable, "-m", "paddle.distributed.launch", *saying, *how]
    logger.info("several processes train together; what each says is in %s", logs)
    try:
        # Behind --, for the launcher would take an option of ours that begins like its own, as --elastic does.
        code = _wait(subprocess.Popen([*launcher, "--", str(PROGRAM), *words]))
    finally:
        for pattern in _OF_ENVIRONMENT:
            for path in logs.glob(pattern):
                path.unlink(missing_ok=True)
    if code != 0:
        logger.error("a process ended with code %d; the files in %s say why", code, logs)
    raise SystemExit(code)


def _wait(processes: subprocess.Popen[bytes]) -> int:
    """Their exit code; when this process is to stop, so are they."""
    try:
        return processes.wait()
    except BaseException:
        processes.terminate()
        try:
            processes.wait(_WAIT)
        except subprocess.TimeoutExpired:
            processes.kill()
        raise
