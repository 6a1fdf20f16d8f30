"""Your own TSV, CSV and JSONL files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ofa_bert.data.dev_split import split_dev
from ofa_bert.data.readers.examples import check_labels, label_cells, label_rows, read_examples
from ofa_bert.data.readers.grouped_files import read_grouped_file, read_grouped_files, reader_named, reader_of
from ofa_bert.data.readers.objects import Described
from ofa_bert.data.readers.tagged_files import holds_tags, read_tagged, tagged_examples, tagged_task
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.glue import glue_task, is_glue
from ofa_bert.tasks.kinds.base import LabelColumns, TaskKind
from ofa_bert.tasks.kinds.registry import kind_for
from ofa_bert.tasks.kinds.tokens import KIND
from ofa_bert.tasks.task import Datasets, Example, Task

_DEFAULT_TEXT = (("sentence1", "sentence2"), ("sentence",), ("text",))
_DEFAULT_LABEL = ("label",)


def read_own_files(
    task_name: str | None,
    files: tuple[str | Path, str | Path | None],
    dev_share: float | None,
    text_columns: Sequence[str] | None,
    label_columns: Sequence[str] | None,
    labels: Sequence[str] | None,
    label_kind: str | None,
    label_separator: str | None,
    doc_stride: int | None = None,
) -> Datasets:
    """files: train and dev; without the second, `dev_share` of train is dev."""
    described = Described(task_name, text_columns, label_columns, doc_stride)
    grouped = reader_named(files[0], label_kind)
    if grouped is not None:
        return read_grouped_files(grouped, files, dev_share, described)
    if holds_tags(files[0], label_kind, label_columns):
        return _tagged_files(task_name, files, dev_share, text_columns, label_columns, labels, label_separator)
    glue = glue_task(task_name) if task_name and is_glue(task_name) else None
    if glue and labels is not None:
        check_labels(glue, labels)
    elif glue:
        labels = glue.labels
    names, train = tuple(label_columns or _DEFAULT_LABEL), own_table(files[0], text_columns, label_columns)
    grouped = None if label_kind or text_columns or glue else reader_of(train)
    if grouped is not None:
        return read_grouped_files(grouped, files, dev_share, described)
    dev = train if files[1] is None else own_table(files[1], text_columns, label_columns)
    text_columns = tuple(text_columns or default_text(train))
    if len(text_columns) not in (1, 2):
        raise UserError(f"text_columns {list(text_columns)}: give one column, or two for sentence pairs")
    columns = LabelColumns(train.path, names, label_separator)
    kind, labels = _kind_and_labels(train, columns, labels, label_kind, glue)
    metrics = glue.metrics if glue else kind.usual_metrics
    name = glue.name if glue else task_name or "custom"
    task = Task(name, tuple(labels), metrics, text_columns, kind.name)
    examples = read_examples(train, text_columns, names, task, label_separator)
    if dev_share is not None:
        rest, held = split_dev(examples, dev_share, task, train.path)
        return Datasets(task, rest, {"dev": held})
    return Datasets(task, examples, {"dev": read_examples(dev, text_columns, names, task, label_separator)})


def read_own_file(
    path: str | Path,
    known: Task | None,
    text_columns: Sequence[str] | None,
    label_columns: Sequence[str] | None,
    labels: Sequence[str] | None,
    label_kind: str | None,
    label_separator: str | None,
) -> tuple[Task, tuple[Example, ...]]:
    """One labelled file, by the task of a model that is known, or by what the arguments and the file itself say."""
    described = Described(None, text_columns, label_columns)
    grouped = reader_named(path, known.kind.word if known is not None else label_kind)
    if grouped is not None:
        return read_grouped_file(grouped, path, known, described)
    if holds_tags(path, known.kind.word if known else label_kind, label_columns):
        file = read_tagged(path, text_columns, label_columns)
        KIND.check_columns(LabelColumns(file.path, file.columns.names, label_separator), labels)
        task = known or tagged_task(file, labels, "custom")
        return task, tagged_examples(file, task)
    names, table = tuple(label_columns or _DEFAULT_LABEL), own_table(path, text_columns, label_columns)
    grouped = None if known is not None or label_kind or text_columns else reader_of(table)
    if grouped is not None:
        return read_grouped_file(grouped, path, known, described)
    texts = tuple(text_columns or _trained_columns(table, known))
    columns = LabelColumns(table.path, names, label_separator)
    if known is not None:
        known.kind.check_columns(columns, known.labels)
        task = replace(known, text_columns=texts)
    else:
        kind, found = _kind_and_labels(table, columns, labels, label_kind, None)
        task = Task("custom", found, kind.usual_metrics, texts, kind.name)
    return task, read_examples(table, texts, names, task, label_separator)


def own_table(path: str | Path, text_columns: Sequence[str] | None, label_columns: Sequence[str] | None) -> Table:
    """A file of texts and labels as it stands, a row an example."""
    names = (*(text_columns or ()), *(label_columns or _DEFAULT_LABEL))
    # All numbers: there is no header. The arguments decide, so a look at the first line cannot guess wrong.
    return read_table(path, has_header=not (text_columns and all(name.isdecimal() for name in names)))


def _tagged_files(
    task_name: str | None,
    files: tuple[str | Path, str | Path | None],
    dev_share: float | None,
    text_columns: Sequence[str] | None,
    label_columns: Sequence[str] | None,
    labels: Sequence[str] | None,
    label_separator: str | None,
) -> Datasets:
    """As `read_own_files`, of files whose words have tags."""
    train = read_tagged(files[0], text_columns, label_columns)
    KIND.check_columns(LabelColumns(train.path, train.columns.names, label_separator), labels)
    task = tagged_task(train, labels, task_name or "custom")
    examples = tagged_examples(train, task)
    if files[1] is not None:
        return Datasets(
            task, examples, {"dev": tagged_examples(read_tagged(files[1], text_columns, label_columns), task)}
        )
    rest, held = split_dev(examples, dev_share or 0.0, task, train.path)
    return Datasets(task, rest, {"dev": held})


def _trained_columns(table: Table, known: Task | None) -> tuple[str, ...]:
    """Those that the model was trained on, where the file has them."""
    if known is not None and set(known.text_columns) <= set(table.header):
        return known.text_columns
    return default_text(table)


def _kind_and_labels(
    train: Table, columns: LabelColumns, labels: Sequence[str] | None, label_kind: str | None, glue: Task | None
) -> tuple[TaskKind, tuple[str, ...]]:
    """What the training table is said to hold, or looks like."""
    rows = label_rows(train, columns)
    word = label_kind or (glue.kind.word if glue else None)
    kind = kind_for(word, columns, rows, labels)
    kind.check_columns(columns, labels)
    if labels is not None:
        return kind, tuple(labels)
    cells = label_cells(columns, rows, kind)
    return kind, kind.find_labels(columns, cells, guessed=label_kind is None)


def default_text(table: Table) -> tuple[str, ...]:
    """The columns that hold texts by their names; UserError where none has one of those."""
    for names in _DEFAULT_TEXT:
        if set(names) <= set(table.header):
            return names
    raise UserError(
        f"{table.path}: which of the columns {shown(list(table.header))} hold the text{table.other_separator()}? "
        "Name them with `text_columns`; if there is no header, count columns from 0: `text_columns` 0 `label_column` 1"
    )
