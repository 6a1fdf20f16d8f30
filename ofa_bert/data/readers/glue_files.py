"""GLUE's official files."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ofa_bert.data.readers.examples import read_examples
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Datasets, Example, Task

logger = logging.getLogger(__name__)

# Label columns of the official files; in the others it is "label".
_GLUE_LABEL = {
    "cola": "1",
    "mrpc": "Quality",
    "sts-b": "score",
    "qqp": "is_duplicate",
    "mnli": "gold_label",
}
# Line breaks and tabs inside some questions split their rows in QQP's official train.tsv.
_QQP_BROKEN_ROWS = 100
_NO_GOLD = "-"  # MultiNLI's mark for pairs whose annotators did not agree


def read_glue_files(task: Task, directory: Path) -> Datasets:
    if task.name == "mnli":
        dev_names = {"matched": "dev_matched.tsv", "mismatched": "dev_mismatched.tsv"}
    else:
        dev_names = {"dev": "dev.tsv"}
    missing = [name for name in ("train.tsv", *dev_names.values()) if not (directory / name).is_file()]
    if missing:
        raise UserError(f"{directory}: no {', '.join(missing)}; data_dir holds task {task.name}'s official files")
    return Datasets(
        task,
        _glue_split(task, directory / "train.tsv"),
        {split: _glue_split(task, directory / name) for split, name in dev_names.items()},
    )


def _glue_split(task: Task, path: Path) -> tuple[Example, ...]:
    table = read_table(
        path,
        has_header=task.name != "cola",
        broken_rows=_QQP_BROKEN_ROWS if task.name == "qqp" else 0,
    )
    text_columns = ("3",) if task.name == "cola" else task.text_columns
    label_column = _GLUE_LABEL.get(task.name, "label")
    if task.name == "mnli":
        table = _without_gold_gaps(table, label_column)
    return read_examples(table, text_columns, (label_column,), task)


def _without_gold_gaps(table: Table, label_column: str) -> Table:
    label = table.column(label_column)
    rows = tuple(row for row in table.rows if row[1][label] != _NO_GOLD)
    if len(rows) < len(table.rows):
        logger.warning("%s: skipped %d pair(s) without a gold label", table.path, len(table.rows) - len(rows))
    return replace(table, rows=rows)
