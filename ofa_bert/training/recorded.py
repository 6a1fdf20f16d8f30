"""What the record of a model knows, so that nobody has to say it again. Imports no Paddle."""

from __future__ import annotations

import dataclasses
import logging
import shlex
from typing import Protocol, TypeVar

from ofa_bert.data.source import DataSource
from ofa_bert.errors import UserError
from ofa_bert.models.families.registry import AUTO
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import arguments
from ofa_bert.tasks.glue import is_glue
from ofa_bert.tasks.superglue import is_superglue
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.settings import DEFAULT_LENGTH, LoopSettings
from ofa_bert.training.stated import stated

logger = logging.getLogger(__name__)


class _Trains(Protocol):
    """A job that trains on data."""

    @property
    def data(self) -> DataSource: ...

    @property
    def loop(self) -> LoopSettings: ...


class _Reads(Protocol):
    @property
    def data(self) -> DataSource: ...


R = TypeVar("R", bound=_Reads)
T = TypeVar("T", bound=_Trains)


def as_recorded(job: T, name_or_path: str, datasets: Datasets | None = None) -> T:
    """The job with the data and the length that its model was trained with, where it says none.

    datasets: in place of those that the job names, which need not be named then.
    """
    loop = with_length(job.loop, name_or_path)
    read = job if datasets is not None else with_data(job, name_or_path)
    return dataclasses.replace(read, loop=loop)  # type: ignore[type-var]


def with_length(loop: LoopSettings, name_or_path: str) -> LoopSettings:
    """The settings with the length that a model was trained with, where they say none."""
    return dataclasses.replace(loop, max_seq_length=loop.max_seq_length or length_of(name_or_path))


def with_data(job: R, name_or_path: str) -> R:
    """The job with the data that its model was trained on, where it names none. UserError where neither says any."""
    given = job.data
    _check_stride(given, name_or_path)
    if given.task_name or given.train_file or given.dev_file:
        return job
    record = _record(name_or_path)
    if given.data_dir:
        if record.task is None or not _is_known(record.task.name):
            raise UserError("`data_dir` holds a GLUE task's files: it needs `task_name` and excludes `train_file`")
        return dataclasses.replace(job, data=dataclasses.replace(given, task_name=record.task.name))  # type: ignore[type-var]
    found = DataSource.recorded(record.settings(name_or_path)) if record.config else DataSource()
    if not found.given:
        raise UserError(
            "say what to train on: `task_name` (a GLUE task or demo), or `train_file` with `dev_file` or `dev_share`;"
            f" {name_or_path} does not say what it was trained on"
        )
    if given.metric is not None:
        found = dataclasses.replace(found, metric=given.metric)
    logger.info("data, as of %s: %s", name_or_path, shlex.join(arguments(found, defaults=False)))
    return dataclasses.replace(job, data=found)  # type: ignore[type-var]


def _check_stride(given: DataSource, name_or_path: str) -> None:
    """What is made of a model reads contexts in its windows: another stride would be told in vain."""
    task = _record(name_or_path).task if given.doc_stride is not None else None
    if task is not None and task.doc_stride not in (0, given.doc_stride):
        raise UserError(
            f"`doc_stride` {given.doc_stride}: {name_or_path} was trained with {task.doc_stride}, and what is made of"
            " it keeps that; leave it out, or finetune with another one first"
        )


def _is_known(name: str) -> bool:
    """Whether a directory can hold the official files of a task with that name."""
    return is_glue(name) or is_superglue(name)


def length_of(name_or_path: str) -> int:
    """The tokens per example that a model was trained with; of one that does not say it, the default."""
    return _record(name_or_path).max_seq_length or DEFAULT_LENGTH


def _record(name_or_path: str) -> ModelRecord:
    model = stated(name_or_path, AUTO)
    return ModelRecord() if model is None else model.record
