"""Rows of a table as examples: texts, and labels as classes or numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from ofa_bert.data.label_kind import Labels, readable_number, twin_of, whole_number
from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.task import Example, Task

logger = logging.getLogger(__name__)


def check_labels(task: Task, labels: Sequence[str]) -> None:
    if sorted(labels) != sorted(task.labels):
        raise UserError(
            f"the model knows the labels {list(labels)}, task {task.name} has {list(task.labels)}: "
            "choose the task that the model was trained for"
        )


def label_values(table: Table, column: str) -> Labels:
    """(line, label as text without blanks around it) of every row; an empty label is an error."""
    position = table.column(column)
    values = []
    for line, row in table.rows:
        value = row[position]
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, (int, float)):
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{table.path}:{line}: label {str(value)!r} is not a finite number")
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            cure = "; a row has one label, a text or a number" if isinstance(value, (list, dict)) else ""
            raise UserError(f"{table.path}:{line}: no label in column {column!r}: {shown(row[position])}{cure}")
        values.append((line, value.strip()))
    return values


def label_reader(task: Task) -> Callable[[str], int | float]:
    """label as text -> index of its class, or the number. The function raises ValueError with the reason."""
    index = {label: i for i, label in enumerate(task.labels)}
    values = {whole_number(label): i for label, i in index.items()}
    # "0.0" is the class "0", when all are such numbers.
    numbered = None not in values and len(values) == len(index)

    def read(value: str) -> int | float:
        if not task.is_regression:
            place = index.get(value)
            if place is None and numbered:
                place = values.get(whole_number(value))
            if place is None:
                raise ValueError(_unknown(value, task))
            return place
        number = readable_number(value)
        if number is None:
            raise ValueError(f"label {shown(value)} is not a finite number, as task {task.name} needs")
        return number

    return read


def _unknown(value: str, task: Task) -> str:
    known = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
    twin = twin_of(value, task.labels)
    near = f"; {twin!r} is one, write it so" if twin else ""
    return f"unknown label {shown(value)}; task {task.name} has {known}{near}"


def read_examples(table: Table, text_columns: Sequence[str], label_column: str, read_label) -> tuple[Example, ...]:
    positions = [(name, table.column(name)) for name in text_columns]
    examples, empty = [], 0
    for (line, label), (_, row) in zip(label_values(table, label_column), table.rows):
        texts = []
        for name, position in positions:
            if not isinstance(row[position], str):
                raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown(row[position])}")
            texts.append(row[position].strip())
        empty += not all(texts)
        try:
            examples.append(Example(texts[0], texts[1] if len(texts) == 2 else None, read_label(label)))
        except ValueError as error:
            raise UserError(f"{table.path}:{line}: {error}") from error
    if not examples:
        raise UserError(f"{table.path}: no examples")
    if empty:
        logger.warning("%s: %d example(s) with an empty text", table.path, empty)
    return tuple(examples)
