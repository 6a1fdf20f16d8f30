"""Rows of a table as examples: texts, and labels as the kind of the task has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.base import LabelColumns, Said, TaskKind, Values
from ofa_bert.tasks.task import Example, Task

logger = logging.getLogger(__name__)


def check_labels(task: Task, labels: Sequence[str]) -> None:
    if sorted(labels) != sorted(task.labels):
        raise UserError(
            f"the model knows the labels {shown(list(labels))}, task {task.name} has {shown(list(task.labels))}: "
            "choose the task that the model was trained for"
        )


def label_rows(table: Table, columns: LabelColumns) -> list[tuple[int, Values]]:
    """(line, what stands in the label columns) of every row."""
    positions = [table.column(name) for name in columns.names]
    return [(line, tuple(row[position] for position in positions)) for line, row in table.rows]


def label_cells(columns: LabelColumns, rows: Sequence[tuple[int, Values]], kind: TaskKind) -> list[tuple[int, Said]]:
    """(line, what it says) of every row; UserError for the first that says nothing."""
    cells = []
    for line, values in rows:
        try:
            cells.append((line, kind.cell(values, columns)))
        except ValueError as error:
            raise UserError(f"{columns.path}:{line}: {error}") from error
    return cells


def read_examples(
    table: Table, text_columns: Sequence[str], label_columns: Sequence[str], task: Task, separator: str | None = None
) -> tuple[Example, ...]:
    positions = [(name, table.column(name)) for name in text_columns]
    columns = LabelColumns(table.path, tuple(label_columns), separator)
    cells = label_cells(columns, label_rows(table, columns), task.kind)
    read_label = task.kind.reader(task.labels, task.name)
    examples, empty = [], 0
    for (line, cell), (_, row) in zip(cells, table.rows):
        texts = []
        for name, position in positions:
            text = row[position]
            if not isinstance(text, str):
                raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown(text)}")
            texts.append(text.strip())
        empty += not all(texts)
        try:
            examples.append(Example(texts[0], texts[1] if len(texts) == 2 else None, read_label(cell)))
        except ValueError as error:
            raise UserError(f"{table.path}:{line}: {error}") from error
    if not examples:
        raise UserError(f"{table.path}: no examples")
    if empty:
        logger.warning("%s: %d example(s) with an empty text", table.path, empty)
    return tuple(examples)
