"""GLUE as PaddleNLP downloads it."""

from __future__ import annotations

from ofa_bert.errors import UserError, first_line
from ofa_bert.tasks.task import Datasets, Example, Task


def download_glue(task: Task) -> Datasets:
    dev = {"matched": "dev_matched", "mismatched": "dev_mismatched"} if task.name == "mnli" else {"dev": "dev"}
    try:
        # Inside: it imports Paddle, and only this way of getting data needs it.
        from paddlenlp.datasets import load_dataset

        parts = load_dataset("glue", task.name, splits=["train", *dev.values()])
        train, *devs = [tuple(_downloaded(task, row) for row in part) for part in parts]
    except Exception as error:  # no network, a proxy's HTML page, a full disk, ...: the cure is the same
        reason = first_line(error)
        raise UserError(
            f"PaddleNLP cannot load GLUE task {task.name} ({type(error).__name__}: {reason}); "
            "download the official files yourself and give their directory with `data_dir`"
        ) from error
    return Datasets(task, train, dict(zip(dev, devs)))


def _downloaded(task: Task, row: dict) -> Example:
    # PaddleNLP gives a class as its index, in this order, or as in the file; a number as text.
    label = row["labels"]
    label = task.kind.reader(task.labels, task.name)((label,)) if isinstance(label, str) else int(label)
    if "sentence" in row:
        return Example(row["sentence"], None, label)
    return Example(row["sentence1"], row["sentence2"], label)
