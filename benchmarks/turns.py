"""Training steps in several processes, run in turn: A B C A B C ..., so that a busy machine slows all of them alike.

Every side has its own process because MKL, malloc and Paddle's flags are read once, when Paddle loads. The processes
are started once, warmed up, and wait on a socket while another one works. Nothing here imports Paddle.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().parent / "step_worker.py"
SETUPS = ("ours", "installed")
START_SECONDS = 300  # for Paddle, PaddleNLP and the model to load, on a busy machine
ROUND_SECONDS = 1800
# MKL's and OpenMP's threads spin for 0.2 s after their work; the next side should not share the cores with them.
PAUSE_SECONDS = 0.3


class Side:
    """One training process, or several under Paddle's launcher, and the connection to each."""

    def __init__(self, spec: Mapping[str, Any], setup: str = "ours", processes: int = 1):
        self.spec, self.setup, self.processes = dict(spec), setup, processes
        self.times: list[float] = []
        self.losses: list[float] = []
        self.peak_mb = self.start_mb = 0.0
        self.tokens = 0
        self.files: list[Any] = []
        self.log = tempfile.TemporaryDirectory()
        self.listener = socket.create_server(("127.0.0.1", 0))
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
            command += ["--log_dir", self.log.name]
        command += [str(WORKER), json.dumps(self.spec), str(self.listener.getsockname()[1])]
        with open(self._log_path(), "wb") as log:
            # A session of its own, so that the launcher and its workers can be ended together.
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment(setup), start_new_session=True
            )

    def _log_path(self) -> Path:
        return Path(self.log.name) / "output.txt"

    def wait_until_ready(self) -> None:
        """Accept the connection of every process, which each makes when its model is built, and hear them out."""
        self.listener.settimeout(1)
        deadline = time.monotonic() + START_SECONDS
        while len(self.files) < self.processes:
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:  # before Python 3.10 it is no TimeoutError
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"a benchmark process did not start:\n{self._tail()}") from None
                continue
            connection.settimeout(ROUND_SECONDS)
            self.files.append(connection.makefile("rw", encoding="utf-8"))
        ready = [self._hear(file) for file in self.files]
        self.tokens = sum(message["tokens"] for message in ready)
        self.start_mb = sum(message["peak_mb"] for message in ready)

    def round(self, order: Mapping[str, Any], keep: bool = True) -> float:
        """Seconds of one round; with several processes, of the slowest one."""
        for file in self.files:
            file.write(json.dumps(order) + "\n")
            file.flush()
        answers = [self._hear(file) for file in self.files]
        seconds = max(answer["seconds"] for answer in answers)
        self.losses.append(sum(answer["loss"] for answer in answers) / len(answers))
        self.peak_mb = sum(answer["peak_mb"] for answer in answers)
        if keep:
            self.times.append(seconds)
        time.sleep(PAUSE_SECONDS)
        return seconds

    def _hear(self, file: Any) -> dict[str, Any]:
        line = file.readline()
        if not line:
            raise RuntimeError(f"a benchmark process ended:\n{self._tail()}")
        return json.loads(line)

    def _tail(self) -> str:
        texts = [path.read_text(errors="replace") for path in sorted(Path(self.log.name).iterdir())]
        return "\n".join("\n".join(text.splitlines()[-25:]) for text in texts)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error: Any) -> None:
        for file in self.files:
            with suppress(OSError):  # it has ended already, and said why in its log
                file.write('{"stop": true}\n')
                file.flush()
        try:
            self.process.wait(20 if self.files and error[0] is None else 0.1)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.listener.close()
        self.log.cleanup()


def environment(setup: str) -> dict[str, str]:
    """The child's variables: nothing of what this shell or an earlier prepare() set; for `installed`, no prepare()."""
    ours = ("MKL_", "OMP_", "KMP_", "MALLOC_", "FLAGS_", "OFA_BERT_", "PADDLE_", "GLOG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if setup == "installed":
        kept["OFA_BERT_ENVIRONMENT"] = "off"
    return kept


def in_turn(
    sides: Sequence[Side], order: Mapping[str, Any], repeats: int, warmup: int, seconds: float = float("inf")
) -> None:
    """Rounds of every side in turn; after two timed rounds, stop when the next one would end after `seconds`."""
    for side in sides:
        side.wait_until_ready()
    started = time.monotonic()
    for number in range(warmup + repeats):
        before = time.monotonic()
        for side in sides:
            # One step warms up as well as a round of many.
            side.round(order if number >= warmup else {**order, "steps": 1}, keep=number >= warmup)
        now = time.monotonic()
        if number + 1 >= warmup + 2 and now - started + (now - before) > seconds:
            break
