"""What every command does around its work: environment, logging, and errors as one line with an exit code."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from ofa_bert.cli.parser import as_flags
from ofa_bert.data.source import DataSource
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.models import device
from ofa_bert.reporting import shown_path
from ofa_bert.system import environment, interrupts, packages
from ofa_bert.tasks.task import Datasets, Task

logger = logging.getLogger(__name__)

INTERRUPTED, TERMINATED = 130, 143
RESUME = "--resume continues from the newest checkpoint"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENAMETOOLONG, errno.EIO)


def run_command(
    work: Callable[[Sequence[str] | None], None],
    argv: Sequence[str] | None = None,
    resumable: bool = True,
    hint: str | None = None,
) -> int:
    """Call `work(argv)` and return the exit code: 0; 2 for a user's mistake; 1 for a run that failed; 130 for Ctrl-C.

    SIGTERM gives 143. `hint` says how an interrupted command goes on; default: by --resume when it is `resumable`.
    Errors of the program itself keep their stack trace: they are ours to mend.
    """
    _log_to_stderr(sys.argv[1:] if argv is None else argv)
    hint = (RESUME if resumable else "") if hint is None else hint
    with interrupts.handled():
        try:
            environment.prepare()
            with logging_redirect_tqdm([logging.getLogger("ofa_bert")]):
                work(argv)
            return _done()
        except BaseException as error:
            told = _told(error, hint)
            if told is None:
                raise
            return _fail(*told)
        finally:
            lock.release_all()


def _told(error: BaseException, hint: str) -> tuple[str, int] | None:
    """(line, exit code) of an error that needs no stack trace; None for one of ours."""
    # What other code made of an interrupt, or what went wrong because of it, is still the interrupt.
    kind = type(error) if isinstance(error, KeyboardInterrupt) else interrupts.pending()
    if kind is not None:
        interrupts.ignore()
        by_term = issubclass(kind, interrupts.Terminated)
        word, code = ("terminated", TERMINATED) if by_term else ("interrupted", INTERRUPTED)
        return f"{word}; {hint}" if hint else word, code
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, ImportError) and (lacking := packages.lacking(error)):
        return str(lacking), lacking.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; try a smaller --batch_size or --max_seq_length", 1
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{shown_path(error.filename or 'a file')}: {error.strerror}", 1
    return None


def leave(code: int) -> NoReturn:
    """End the process of a script; a signal while Python takes itself down no longer matters."""
    interrupts.ignore()
    sys.exit(code)


def begin(
    data: DataSource,
    where: str,
    check: Callable[[Task], None] | None = None,
    launch: Callable[[], None] | None = None,
) -> Datasets:
    """The examples that a command names, after which its device is set and launched processes know each other.

    check: what can be said of the command before Paddle is loaded, when its task is known. launch: what starts several
    processes in the place of this one, as of `launch.parse_launched`.
    """
    # Not at the top: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.training.data.glue_download import download_glue

    datasets = data.load(download=download_glue)
    if check is not None:
        check(datasets.task)
    if launch is not None:
        launch()
    device.select_device(where)
    from ofa_bert.training import distributed

    distributed.start(where)
    interrupts.renew()
    return datasets


def _done() -> int:
    """0 for success; a process of a launched group ends right here."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        # Everything is written, and Paddle's threads for gloo now and then abort the process while it is taken down.
        sys.stdout.flush()
        sys.stderr.flush()
        lock.release_all()
        os._exit(0)
    return 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {as_flags(message)}\n")
    sys.stderr.flush()
    return code


def _log_to_stderr(words: Sequence[str]) -> None:
    """Our own messages only, from the first process only; what libraries log stays theirs."""
    log = logging.getLogger("ofa_bert")
    first = os.environ.get("PADDLE_TRAINER_ID", "0") == "0"
    log.setLevel(logging.WARNING if not first or "--quiet" in words else logging.INFO)
    if first and "--verbose" in words:
        log.setLevel(logging.DEBUG)
    log.propagate = False
    # Made anew by every command: standard error may be another stream than in the command before.
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers = [handler]


class _Formatter(logging.Formatter):
    """Messages name options; who reads a command's log knows them as flags."""

    def format(self, record: logging.LogRecord) -> str:
        return as_flags(super().format(record))


def show(text: str) -> None:
    """A command's result on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
