"""Your own TSV, CSV and JSONL files."""

from __future__ import annotations

from ofa_bert.data.examples import check_labels, label_reader, label_values, read_examples
from ofa_bert.data.label_kind import find_classes
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.tasks.glue import glue_task, is_glue
from ofa_bert.tasks.task import CLASS_METRICS, REGRESSION_METRICS, Datasets, Task

_DEFAULT_TEXT = (("sentence1", "sentence2"), ("sentence",), ("text",))


def read_own_files(task_name, files, text_columns, label_column, labels, regression) -> Datasets:
    glue = glue_task(task_name) if task_name and is_glue(task_name) else None
    if glue and labels is None:
        labels = glue.labels
    elif glue:
        check_labels(glue, labels)
    if labels is not None and regression not in (None, not labels):
        raise UserError(f"regression={regression} contradicts the labels {list(labels)}")
    label_column = label_column or "label"
    # All numbers: there is no header. The arguments decide, so a look at the first line cannot guess wrong.
    numbered = bool(text_columns) and all(name.isdecimal() for name in (*text_columns, label_column))
    train, dev = (read_table(path, has_header=not numbered) for path in files)
    text_columns = tuple(text_columns or _default_text(train))
    if len(text_columns) not in (1, 2):
        raise UserError(f"text_columns {list(text_columns)}: give one column, or two for sentence pairs")
    if labels is None:
        labels = find_classes(train, label_column, label_values(train, label_column), regression)
    metrics = glue.metrics if glue else CLASS_METRICS if labels else REGRESSION_METRICS
    name = glue.name if glue else task_name or "custom"
    task = Task(name, tuple(labels), metrics, text_columns)
    read = label_reader(task)
    return Datasets(
        task,
        read_examples(train, text_columns, label_column, read),
        {"dev": read_examples(dev, text_columns, label_column, read)},
    )


def _default_text(table: Table) -> tuple[str, ...]:
    for names in _DEFAULT_TEXT:
        if set(names) <= set(table.header):
            return names
    raise UserError(
        f"{table.path}: which of the columns {list(table.header)} hold the text{table.other_separator()}? "
        "Name them with --text_columns; if there is no header, count columns from 0: --text_columns 0 --label_column 1"
    )
