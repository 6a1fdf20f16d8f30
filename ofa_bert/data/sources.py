"""The data of a task, from wherever the arguments point: GLUE's official files, your own, the demo's, or a download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ofa_bert.data import demo_task
from ofa_bert.data.readers.examples import check_labels
from ofa_bert.data.readers.glue_files import read_glue_files
from ofa_bert.data.readers.own_files import read_own_files
from ofa_bert.data.readers.superglue_files import has_superglue_files, read_superglue_files
from ofa_bert.data.tagging import answers_demo
from ofa_bert.data.tagging import demo as tagging_demo
from ofa_bert.errors import UserError
from ofa_bert.tasks.glue import glue_task, is_glue
from ofa_bert.tasks.superglue import is_superglue, superglue_task
from ofa_bert.tasks.task import Datasets, Example, Task

# The built-in tasks, by name.
_GENERATED = {demo.TASK.name: demo for demo in (demo_task, tagging_demo, answers_demo)}


def load_datasets(
    task_name: str | None = None,
    data_dir: str | Path | None = None,
    train_file: str | Path | None = None,
    dev_file: str | Path | None = None,
    text_columns: Sequence[str] | None = None,
    label_columns: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    label_kind: str | None = None,
    label_separator: str | None = None,
    known: Task | None = None,
    download: Callable[[Task], Datasets] | None = None,
    dev_share: float | None = None,
    doc_stride: int | None = None,
) -> Datasets:
    """The task with its training and dev examples, from wherever the arguments point.

    task_name: a GLUE task, demo, demo-tokens, or demo-answers.
    train_file, dev_file: your own files; a GLUE task_name then gives labels and metrics.
    data_dir: GLUE's official files, or the demo's. Without these and files of your own the demo is generated, and a
    GLUE task comes from `download`.
    known: the task of a trained model; the data must have its labels, and get their order.
    labels: those of your own files, in their order, empty where a number is to be predicted.
    label_kind: a word of tasks/kinds, in place of the guess from the training labels of your own files.
    label_columns, label_separator: of your own files; several columns are one for each label, with 0 or 1, and a
    separator stands between the labels of a text in a single column.
    dev_share: how much of train_file is dev, in place of a dev_file.
    doc_stride: tokens from one window of a long context to the next, where answers are looked for.

    Raises UserError, with file and line, for whatever is wrong with the data.

    >>> from ofa_bert import load_datasets
    >>> datasets = load_datasets(train_file="train.tsv", dev_file="dev.tsv")
    >>> datasets.task.labels, len(datasets.dev["dev"])
    (('bad', 'good'), 4)
    """
    if known is not None and labels is not None:
        check_labels(known, labels)
    labels = labels if known is None else known.labels
    if train_file or dev_file:
        label_kind = label_kind or (known.kind.word if known else None)
        if data_dir or not train_file or (dev_file is None) == (dev_share is None):
            raise UserError("give train_file with either dev_file or dev_share, and without data_dir")
        return read_own_files(
            task_name,
            (train_file, dev_file),
            dev_share,
            text_columns,
            label_columns,
            labels,
            label_kind,
            label_separator,
            doc_stride,
        )
    if text_columns or label_columns or label_kind or label_separator or dev_share:
        raise UserError(
            "text_columns, label_columns, label_kind, label_separator and dev_share describe your own train_file"
        )
    if not task_name:
        raise UserError("no data: give a task name, or train_file with dev_file or dev_share")
    name = task_name.lower()
    if name not in _GENERATED and is_superglue(task_name) and (not is_glue(task_name) or _superglue_in(data_dir)):
        data = _of_superglue(superglue_task(task_name), data_dir)
    elif data_dir:
        task = demo_task.TASK if name == demo_task.TASK.name else glue_task(task_name)
        data = read_glue_files(task, Path(data_dir))
    else:
        data = _GENERATED[name].generate() if name in _GENERATED else _downloaded(glue_task(task_name), download)
    if doc_stride is not None and data.task.kind.windowed:
        data = replace(data, task=replace(data.task, doc_stride=doc_stride))
    return data if labels is None else _in_order(data, tuple(labels))


def _superglue_in(data_dir: str | Path | None) -> bool:
    return data_dir is not None and has_superglue_files(Path(data_dir))


def _of_superglue(task: Task, data_dir: str | Path | None) -> Datasets:
    if data_dir is None:
        raise UserError(
            f"SuperGLUE's {task.name} is not downloaded; give the directory of its official files, data_dir"
        )
    return read_superglue_files(task, Path(data_dir))


def _in_order(data: Datasets, labels: tuple[str, ...]) -> Datasets:
    """The same data with the classes in the order that a trained model knows them."""
    check_labels(data.task, labels)
    if labels == data.task.labels:
        return data
    kind = data.task.kind
    read = kind.reader(labels, data.task.name)

    def moved(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(replace(example, label=read(kind.said(example.label, data.task.labels))) for example in examples)

    dev = {split: moved(examples) for split, examples in data.dev.items()}
    return Datasets(replace(data.task, labels=labels), moved(data.train), dev)


def _downloaded(task: Task, download: Callable[[Task], Datasets] | None) -> Datasets:
    if download is None:
        raise UserError(f"GLUE task {task.name}: give the directory of its official files as data_dir")
    return download(task)
