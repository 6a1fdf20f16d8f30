"""What every job does before its first step when a program calls it: its options checked, data, device, processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from ofa_bert.data.source import DataSource
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.models.device import select_device
from ofa_bert.options import build, problems_of, values_of
from ofa_bert.reporting import shown
from ofa_bert.system import packages
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.data.glue_download import download_glue

T = TypeVar("T")


def checked(job: object, kind: type[T], datasets: Datasets | None = None) -> T:
    """The job, with what its words mean on this machine. UserError for another value and for all that is wrong with it.

    datasets: in place of those that the job names, which need not be named then.
    """
    if not isinstance(job, kind):
        raise UserError(f"{shown(job)} is no {kind.__name__}; make_job({kind.__name__}, ...) makes one")
    unread = problems_of(getattr(job, "data", None)) if datasets is not None else []
    found = [problem for problem in problems_of(job) if problem not in unread]
    if found:
        raise UserError("; ".join(found))
    return build(kind, values_of(job))


@contextmanager
def on_device(device: str | None) -> Iterator[None]:
    """Paddle is loaded and set to `device` for what runs inside; None: what runs inside needs no Paddle.

    Raises UserError for a device that is not there, and for a package that is not installed.
    """
    with told_what_to_install():
        if device is not None:
            select_device(device)
        yield


@contextmanager
def training(
    data: DataSource,
    device: str,
    datasets: Datasets | None,
    check: Callable[[Task], None] | None,
    output_dir: str | None = None,
) -> Iterator[Datasets]:
    """The examples of a job that trains, its device set, and processes of one launch joined.

    datasets: in place of those that `data` names. check: what can be said before Paddle is loaded. output_dir: let go
    of at the end; a job that does that by itself names none.
    """
    with told_what_to_install():
        datasets = data.load(download=download_glue) if datasets is None else datasets
        if check is not None:
            check(datasets.task)
        select_device(device)
        from ofa_bert.training import distributed

        distributed.start(device)
        with ExitStack() as stack:
            if output_dir is not None and distributed.is_main():
                stack.enter_context(lock.holding(output_dir))
            yield datasets


@contextmanager
def told_what_to_install() -> Iterator[None]:
    """An optional package that is missing is a UserError with the cure, as in a command."""
    try:
        yield
    except ImportError as error:
        missing = packages.lacking(error)
        if missing is None:
            raise
        raise missing from error
