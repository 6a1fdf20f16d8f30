"""Worker processes, each on cores of its own. A batch whose worker was killed is done again by another one.

What answers nothing for longer than it may is killed too: a worker that somebody stopped, or that hangs.

A worker is a fresh interpreter: the main module of the program is not imported again, and cores and thread counts are
set before any library loads. It ends when its connection does, so it cannot outlive the process that started it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, TypedDict

from ofa_bert.errors import RunError, UserError, first_line
from ofa_bert.exits.loop import Answers
from ofa_bert.runtime.backends.base import Ids, Logits
from ofa_bert.runtime.processes import check_process, core_groups
from ofa_bert.system import environment

logger = logging.getLogger(__name__)

AHEAD = 2  # batches that a worker has: the one it computes, and the next so that it need not wait
ATTEMPTS = 3  # workers that one batch may end, and that may end while they load the model
PATIENCE = 2.0  # seconds that a worker has for ending by itself
# Seconds that a worker may take for a batch, and for each further TOKENS of a larger one. The largest BERTs on one slow
# core that others use too do 40 tokens in a second, three times what this asks for.
TIMEOUT = 300.0
TOKENS = 4096
_LONGEST_WAIT = 3600.0  # seconds at a time: the system's call takes no more than some weeks
LOADING = 10  # times as long for loading a model: TensorRT compiles it
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_BOOT = """
import json, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
job = json.loads(sys.argv[1])
if job["cores"]:
    os.sched_setaffinity(0, job["cores"])
sys.path[:] = job["path"]
from ofa_bert.runtime.workers import serve
serve(job)
"""


class Batch(NamedTuple):
    key: int
    input_ids: Ids  # [B, T]
    token_type_ids: Ids  # [B, T]


class Job(NamedTuple):
    """What every worker of a pool does: call `opener` (module:function) with the arguments, which are pickled to it."""

    arguments: Mapping[str, object]
    opener: str
    threads: int


class Start(TypedDict):
    """What a worker is told on its command line, as JSON."""

    opener: str
    cores: list[int]
    path: list[str]
    descriptor: int  # its end of the connection


Key = tuple[int, int]  # number of the run, key of the batch
Request = tuple[Key, Ids, Ids]
Found = Logits | Answers  # what `run` of a model gives: logits, or with the layers that ran for them
Answered = tuple[int, Found]  # with the batch's key


class WorkerPool:
    """`count` processes that each call `opener` (module:function) with `arguments` and `threads`, and run its `run`."""

    def __init__(
        self,
        count: int,
        arguments: Mapping[str, object],
        threads: int | None = None,
        opener: str = "ofa_bert.runtime.opening:open_model",
        timeout: float = TIMEOUT,
    ):
        """Returns when all are ready. UserError or RunError when one cannot load the model.

        timeout: seconds that a worker may take for a batch of up to TOKENS tokens, in proportion for a larger one and
        LOADING times as long for the model; then it is killed, and another one does the batch.
        """
        self._owner = os.getpid()
        self._timeout = timeout
        self.threads = threads or max(1, environment.cores() // count)
        self._job = Job({**arguments, "threads": self.threads}, opener, self.threads)
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end_all, self._workers)
        self._run_number = 0
        self._failed_starts = 0
        try:
            for cores in core_groups(count, self.threads):
                self._workers.append(_Worker(self._job, cores, timeout))
            while not all(worker.ready for worker in self._workers):
                self._receive(Counter(), deque())
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    def run(self, batches: Iterable[Batch]) -> Iterator[Answered]:
        """(key, what the model says) of every batch, as they are done, each exactly once; reads `batches` as needed."""
        check_process(self._owner)
        if not self._workers:
            raise RuntimeError("the pool is closed")
        self._run_number += 1  # answers to a run that was abandoned are told by their number
        run, source = self._run_number, iter(batches)
        again: deque[Batch] = deque()
        ended_by: Counter[int] = Counter()
        while True:
            exhausted = self._hand_out(run, source, again, ended_by)
            waiting = again or any(number == run for worker in self._workers for number, _ in worker.pending)
            if exhausted and not waiting:
                return
            yield from self._receive(ended_by, again)

    def _hand_out(self, run: int, source: Iterator[Batch], again: deque[Batch], ended_by: Counter[int]) -> bool:
        """Give batches to the workers that have the fewest; True when there are none left to give."""
        while True:
            ready = [worker for worker in self._workers if worker.ready and len(worker.pending) < AHEAD]
            if not ready:
                return False
            batch = again.popleft() if again else next(source, None)
            if batch is None:
                return True
            worker = min(ready, key=lambda worker: len(worker.pending))
            worker.take((run, batch.key), batch)
            try:
                worker.connection.send(((run, batch.key), batch.input_ids, batch.token_type_ids))
            except OSError:
                self._replace(worker, ended_by, again)

    def _receive(self, ended_by: Counter[int], again: deque[Batch]) -> list[Answered]:
        """Wait for answers to the present run, until a worker that owes one is overdue; it is replaced."""
        answers: list[Answered] = []
        soonest = min(worker.deadline for worker in self._workers) - time.monotonic()
        ready = wait([worker.connection for worker in self._workers], min(max(0.0, soonest), _LONGEST_WAIT))
        for worker in [worker for worker in self._workers if worker.connection in ready]:
            try:
                what, key, value = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker, ended_by, again)
                continue
            if what == "refused":
                raise (RunError if key == RunError.exit_code else UserError)(value)
            if what == "ready":
                worker.ready, self._failed_starts = True, 0
                continue
            batch = worker.answered(key)
            if key[0] != self._run_number:
                continue
            if what == "failed":
                shape = "batch {}, length {}".format(*batch.input_ids.shape)
                raise RunError(f"the model failed on {shape}: {value}")
            answers.append((batch.key, value))
        for worker in list(self._workers):
            if worker.connection not in ready and worker.deadline <= time.monotonic():
                self._replace(worker, ended_by, again, overdue=True)
        return answers

    def _replace(self, worker: _Worker, ended_by: Counter[int], again: deque[Batch], overdue: bool = False) -> None:
        """Start another worker in place of one that has ended or is overdue; what it had left is to be done again."""
        how = worker.end(0.0 if overdue else PATIENCE)
        if overdue:
            how = f"was ended, for it gave no answer in {worker.allowed:g} seconds (timeout {self._timeout:g})"
        left = [batch for (run, _), batch in worker.pending.items() if run == self._run_number]
        logger.warning("worker %d %s; %d batch(es) are done again", worker.process.pid, how, len(left))
        again.extend(left)
        self._workers[self._workers.index(worker)] = _Worker(self._job, worker.cores, self._timeout)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS:
                self._failed_starts = 0
                raise RunError(f"worker processes end while they load the model: {how}; use fewer `workers`")
        if left:
            ended_by[left[0].key] += 1  # it had begun no other
            if ended_by[left[0].key] >= ATTEMPTS:
                shape = "{} x {} tokens".format(*left[0].input_ids.shape)
                raise RunError(
                    f"a batch of {shape} ended {ATTEMPTS} worker processes, the last one {how};"
                    " use fewer `workers` or a smaller `batch_size`"
                )

    def close(self) -> None:
        """End the processes. What they were computing is lost. A forked process only forgets them: it has no right."""
        if os.getpid() == self._owner:
            self._end()
        self._workers.clear()


class _Worker:
    """One process, its end of the connection, and the batches that it has not answered, oldest first."""

    def __init__(self, job: Job, cores: Sequence[int], timeout: float):
        self.cores = cores
        self.ready = False
        self.pending: dict[Key, Batch] = {}
        self._timeout, self._since = timeout, time.monotonic()
        threads = str(job.threads)
        path = [entry or os.getcwd() for entry in sys.path]
        ours, theirs = socket.socketpair()
        with theirs:
            start = Start(opener=job.opener, cores=list(cores), path=path, descriptor=theirs.fileno())
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", _BOOT, json.dumps(start)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # standard output is for results
                    env={**os.environ, **dict.fromkeys(_THREADS, threads)},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for the process that started it
                )
            except OSError as error:
                ours.close()
                raise RunError(f"no worker process can be started: {error.strerror}; use fewer `workers`") from error
        # A stopped process reads nothing and may have written half an answer: then both calls fail instead of waiting.
        limit = struct.pack("ll", int(min(timeout, 1e6)), int(timeout % 1 * 1e6))
        for direction in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, direction, limit)
        self.connection = Connection(ours.detach())
        with contextlib.suppress(OSError):  # it has ended already; whoever waits for it is told
            self.connection.send(job.arguments)

    def take(self, key: Key, batch: Batch) -> None:
        if not self.pending:
            self._since = time.monotonic()
        self.pending[key] = batch

    def answered(self, key: Key) -> Batch:
        self._since = time.monotonic()
        return self.pending.pop(key)

    @property
    def allowed(self) -> float:
        """Seconds for what it does now: loading, or its oldest batch; infinite when it has nothing to do."""
        if not self.ready:
            return self._timeout * LOADING
        if not self.pending:
            return math.inf
        return self._timeout * max(1.0, next(iter(self.pending.values())).input_ids.size / TOKENS)

    @property
    def deadline(self) -> float:
        return self._since + self.allowed

    def end(self, patience: float = PATIENCE) -> str:
        """Close the connection, wait, if need be kill; says how the process ended."""
        self.connection.close()
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        memory = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{memory}"


def _end_all(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.connection.close()
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.end(max(0.0, deadline - time.monotonic()))


def serve(job: Start) -> None:
    """A worker's life: load the model, then answer batches until the connection ends."""
    connection = Connection(job["descriptor"])
    try:
        arguments = connection.recv()
        environment.prepare(arguments["threads"])
        try:
            module, _, function = job["opener"].partition(":")
            model = getattr(importlib.import_module(module), function)(**arguments)
        except UserError as error:
            connection.send(("refused", error.exit_code, str(error)))
            return
        connection.send(("ready", None, None))
        # Reads ahead in a thread: neither side may wait for the other to read while the other does the same.
        batches: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(connection, batches), daemon=True).start()
        for key, input_ids, token_type_ids in iter(batches.get, None):
            try:
                answer = ("done", key, model.run(input_ids, token_type_ids))
            except Exception as error:  # each library has its own types; the message goes to the user
                answer = ("failed", key, first_line(error))
            connection.send(answer)
    except (EOFError, OSError):
        pass  # nobody is left to answer to


def _read(connection: Connection, batches: queue.SimpleQueue[Request | None]) -> None:
    try:
        while True:
            batches.put(connection.recv())
    except (EOFError, OSError):
        batches.put(None)
