"""Reads the data of a task: GLUE's official files, your own TSV, CSV or JSONL, or PaddleNLP's download.

Your own files. The suffix says the format: `.tsv` (a quote is text), `.csv` (quoted as spreadsheets do) or
`.jsonl` (one object per line). Columns are named by the header. When the text columns and the label column
are all whole numbers, the file has no header and they count columns from 0. Without column names, the texts
are `sentence1` and `sentence2`, `sentence` or `text`, whichever there is, and the label is `label`.
Labels become sorted classes (whole numbers by value) or a regression: see `_is_regression`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Callable, Sequence

from ofa_bert import demo_data
from ofa_bert.errors import UserError
from ofa_bert.tables import Table, read_table
from ofa_bert.tasks import CLASS_METRICS, REGRESSION_METRICS, Datasets, Example, Task, glue_task, is_glue

logger = logging.getLogger(__name__)

# Label columns of the official files; in the others it is "label".
_GLUE_LABEL = {
    "cola": "1",
    "mrpc": "Quality",
    "sts-b": "score",
    "qqp": "is_duplicate",
    "mnli": "gold_label",
}
_DEFAULT_TEXT = (("sentence1", "sentence2"), ("sentence",), ("text",))
# Line breaks and tabs inside some questions split their rows in QQP's official train.tsv.
_QQP_BROKEN_ROWS = 100
_NO_GOLD = "-"  # MultiNLI's mark for pairs whose annotators did not agree


def load_datasets(
    task_name: str | None = None,
    data_dir: str | Path | None = None,
    train_file: str | Path | None = None,
    dev_file: str | Path | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    labels: Sequence[str] | None = None,
    regression: bool | None = None,
) -> Datasets:
    """The task with its training and dev examples, from wherever the arguments point.

    train_file and dev_file: your own files; a GLUE task_name then gives labels and metrics.
    data_dir: GLUE's official files, or the demo's. Neither: the demo is generated, PaddleNLP downloads a
    GLUE task. labels: the classes in the order that a trained model knows them, empty for regression.
    regression: True or False overrides the guess from the training labels of your own files.
    Raises UserError, with file and line, for whatever is wrong with the data.
    """
    if train_file or dev_file:
        if data_dir or not (train_file and dev_file):
            raise UserError("give train_file and dev_file together, and without data_dir")
        return _own_files(task_name, (train_file, dev_file), text_columns, label_column, labels, regression)
    if text_columns or label_column or regression is not None:
        raise UserError("text_columns, label_column and regression describe your own train_file and dev_file")
    if not task_name:
        raise UserError("no data: give a task name, or train_file and dev_file")
    demo = task_name.lower() == demo_data.TASK.name
    task = demo_data.TASK if demo else glue_task(task_name)
    if data_dir:
        data = _glue_files(task, Path(data_dir))
    else:
        data = demo_data.generate() if demo else _download(task)
    return data if labels is None else _in_order(data, tuple(labels))


def _in_order(data: Datasets, labels: tuple[str, ...]) -> Datasets:
    """The same data with the classes in the order that a trained model knows them."""
    _check_labels(data.task, labels)
    if labels == data.task.labels:
        return data
    place = [labels.index(label) for label in data.task.labels]

    def moved(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(replace(example, label=place[example.label]) for example in examples)

    dev = {split: moved(examples) for split, examples in data.dev.items()}
    return Datasets(replace(data.task, labels=labels), moved(data.train), dev)


def _check_labels(task: Task, labels: Sequence[str]) -> None:
    if sorted(labels) != sorted(task.labels):
        raise UserError(
            f"the model knows the labels {list(labels)}, task {task.name} has {list(task.labels)}: "
            "choose the task that the model was trained for"
        )


def _glue_files(task: Task, directory: Path) -> Datasets:
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
    return _examples(table, text_columns, label_column, _label_reader(task))


def _without_gold_gaps(table: Table, label_column: str) -> Table:
    label = table.column(label_column)
    rows = tuple(row for row in table.rows if row[1][label] != _NO_GOLD)
    if len(rows) < len(table.rows):
        logger.warning("%s: skipped %d pair(s) without a gold label", table.path, len(table.rows) - len(rows))
    return replace(table, rows=rows)


def _download(task: Task) -> Datasets:
    dev = {"matched": "dev_matched", "mismatched": "dev_mismatched"} if task.name == "mnli" else {"dev": "dev"}
    try:
        # Inside: it imports Paddle, and only this way of getting data needs it.
        from paddlenlp.datasets import load_dataset

        parts = load_dataset("glue", task.name, splits=["train", *dev.values()])
        train, *devs = [tuple(_downloaded(task, record) for record in part) for part in parts]
    except Exception as error:  # no network, a proxy's HTML page, a full disk, ...: the cure is the same
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"PaddleNLP cannot load GLUE task {task.name} ({type(error).__name__}: {reason}); "
            "download the official files yourself and give their directory with --data_dir"
        ) from error
    return Datasets(task, train, dict(zip(dev, devs)))


def _downloaded(task: Task, record: dict) -> Example:
    # PaddleNLP gives a class as its index, in this order, or as in the file; a number as text.
    label = record["labels"]
    if task.is_regression:
        label = float(label)
    else:
        label = task.labels.index(label) if isinstance(label, str) else int(label)
    if "sentence" in record:
        return Example(record["sentence"], None, label)
    return Example(record["sentence1"], record["sentence2"], label)


def _own_files(task_name, files, text_columns, label_column, labels, regression) -> Datasets:
    glue = glue_task(task_name) if task_name and is_glue(task_name) else None
    if glue and labels is None:
        labels = glue.labels
    elif glue:
        _check_labels(glue, labels)
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
        labels = _find_labels(train, label_column, regression)
    metrics = glue.metrics if glue else CLASS_METRICS if labels else REGRESSION_METRICS
    name = glue.name if glue else task_name or "custom"
    task = Task(name, tuple(labels), metrics, text_columns)
    read = _label_reader(task)
    return Datasets(
        task,
        _examples(train, text_columns, label_column, read),
        {"dev": _examples(dev, text_columns, label_column, read)},
    )


def _default_text(table: Table) -> tuple[str, ...]:
    for names in _DEFAULT_TEXT:
        if set(names) <= set(table.header):
            return names
    raise UserError(
        f"{table.path}: which of the columns {list(table.header)} hold the text? Name them with --text_columns;"
        " if there is no header, count columns from 0: --text_columns 0 --label_column 1"
    )


def _find_labels(table: Table, label_column: str, regression: bool | None) -> tuple[str, ...]:
    """The sorted classes of the training data, or () for regression."""
    values = _label_values(table, label_column)
    if _is_regression(table, values) if regression is None else regression:
        return ()
    classes = {value for _, value in values}
    too_many = regression is None and len(classes) > max(20, len(values) // 2)
    if len(classes) < 2 or too_many:
        raise UserError(
            f"{table.path}: column {label_column!r} holds {len(classes)} different label(s) in {len(values)} "
            "rows; is it the label column?"
        )
    if all(value.isdecimal() for value in classes):
        return tuple(sorted(classes, key=lambda value: (int(value), value)))
    return tuple(sorted(classes))


def _is_regression(table: Table, values: list[tuple[int, str]]) -> bool:
    """All labels are numbers, and there are more than 20 different ones or one that is not whole.

    When nine of ten are such numbers, the odd one is an error and not a class.
    """
    numbers = [number for _, value in values for number in [_number(value)] if number is not None]
    measured = len(set(numbers)) > 20 or any(not number.is_integer() for number in numbers)
    if measured and len(values) > len(numbers) >= 0.9 * len(values):
        line, value = next((line, value) for line, value in values if _number(value) is None)
        raise UserError(
            f"{table.path}:{line}: label {_short(value)} is not a number, though {len(numbers)} of "
            f"{len(values)} labels are; correct it"
        )
    return measured and len(numbers) == len(values)


def _label_values(table: Table, column: str) -> list[tuple[int, str]]:
    """(line, label as text) of every row; an empty label is an error."""
    position = table.column(column)
    values = []
    for line, row in table.rows:
        value = row[position]
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, (int, float)):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{table.path}:{line}: no label in column {column!r}: {_short(row[position])}")
        values.append((line, value.strip()))
    return values


def _label_reader(task: Task) -> Callable[[str], int | float]:
    """label as text -> index of its class, or the number. The function raises ValueError with the reason."""
    index = {label: i for i, label in enumerate(task.labels)}

    def read(value: str) -> int | float:
        if not task.is_regression:
            if value not in index:
                shown = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
                raise ValueError(f"unknown label {_short(value)}; task {task.name} has {shown}")
            return index[value]
        number = _number(value)
        if number is None or not math.isfinite(number):
            raise ValueError(f"label {_short(value)} is not a finite number, as task {task.name} needs")
        return number

    return read


def _examples(table: Table, text_columns: Sequence[str], label_column: str, read_label) -> tuple[Example, ...]:
    positions = [(name, table.column(name)) for name in text_columns]
    examples, empty = [], 0
    for (line, label), (_, row) in zip(_label_values(table, label_column), table.rows):
        texts = []
        for name, position in positions:
            if not isinstance(row[position], str):
                shown = _short(row[position])
                raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown}")
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


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
