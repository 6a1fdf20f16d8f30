"""Tables of examples that a model gets wrong, with all the columns that they came with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ofa_bert.data.table_files import Table
from ofa_bert.data.table_writers import table_text
from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.recipes.evaluation.calibration import certainty
from ofa_bert.tasks.task import Example, Task

Cells = Mapping[str, object]


def wrong(task: Task, logits: Floats, labels: Array) -> tuple[Ints, list[Cells]]:
    """(examples, what is said of each): those answered wrongly, the surest first; of numbers all, the worst first."""
    said, right = answers(task, logits), task.kind.right(logits, labels, task.thresholds)
    if right is None:
        errors = task.kind.predictions(logits, task.thresholds) - labels
        order = np.argsort(-np.abs(errors), kind="stable")
        return order, [{**said[place], "error": f"{errors[place]:.6g}"} for place in order]
    order = np.argsort(-sureness(task, logits), kind="stable")
    order = order[~right[order]]
    return order, [said[place] for place in order]


def parted(
    task: Task, logits: Floats, others: Floats, labels: Array, thresholds: tuple[float, ...]
) -> tuple[Ints, list[Cells]]:
    """(examples, what both say of each): those that only one of two models answers rightly, the first's own first.

    thresholds: what the second one's answers, `others`, are decided by.
    """
    first = task.kind.right(logits, labels, task.thresholds)
    second = task.kind.right(others, labels, thresholds)
    if first is None or second is None:
        return np.zeros(0, np.int64), []
    said, also = answers(task, logits), answers(replace(task, thresholds=thresholds), others)
    order = np.concatenate([np.flatnonzero(first & ~second), np.flatnonzero(second & ~first)])
    return order, [
        {
            "right": "first" if first[place] else "second",
            **said[place],
            **{f"second_{name}": value for name, value in also[place].items()},
        }
        for place in order
    ]


def answers(task: Task, logits: Floats) -> list[Cells]:
    """What the model says of every example, as cells of a table."""
    cells: list[Cells] = []
    for answer in task.kind.answers(logits, task.labels, task.thresholds):
        if answer.value is not None:
            cells.append({"predicted_value": f"{answer.value:.6g}"})
        elif answer.labels is not None:
            cells.append({"predicted_labels": list(answer.labels)})
        else:
            cells.append({"predicted_label": answer.label, "probability": f"{answer.probability:.4f}"})
    return cells


def sureness(task: Task, logits: Floats) -> Floats:
    """[N]: the probability of the answer; of several decisions, that of the least sure one."""
    return certainty(task.kind.decisions(logits)).min(axis=-1)


def rows_text(
    task: Task, examples: Sequence[Example], table: Table | None, order: Ints, cells: Sequence[Cells]
) -> tuple[str, str]:
    """(suffix, content) of a file of these examples: as their own table has them, or JSONL of texts and labels."""
    if table is None:
        return ".jsonl", "".join(
            json.dumps({**_columns(task, examples[place]), **more}, ensure_ascii=False) + "\n"
            for place, more in zip(order, cells)
        )
    some = replace(
        table,
        rows=tuple(table.rows[place] for place in order),
        objects=tuple(table.objects[place] for place in order) if table.objects else (),
    )
    new = [
        {"line": str(line), **{_free(name, table): value for name, value in more.items()}}
        for (line, _), more in zip(some.rows, cells)
    ]
    return table.path.suffix.lower(), table_text(some, new)


def _columns(task: Task, example: Example) -> Cells:
    texts = [example.text] if example.text_pair is None else [example.text, example.text_pair]
    said = task.kind.said(example.label, task.labels)
    return {**dict(zip(task.text_columns, texts)), "label": list(said) if isinstance(example.label, tuple) else said[0]}


def _free(name: str, table: Table) -> str:
    """A name that the table has no column of."""
    while name in table.header or name in table.keys:
        name += "_"
    return name
