"""What stands beside weights in `ofa_config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ofa_bert.errors import UserError
from ofa_bert.options import to_json
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Task

FORMAT = 1


def describe(task: Task, config: Any, kind: str, **more: Any) -> dict[str, Any]:
    """The dictionary for `ofa_config.json`. `kind` is teacher, supernet or sub_model."""
    return {
        "format": FORMAT,
        "kind": kind,
        "task": task.to_json(),
        "model_type": config.model_type,
        "max_seq_length": config.max_seq_length,
        "seed": getattr(config, "seed", None),
        "config": to_json(config),
        "versions": versions(),
        **more,
    }


def check_task(where: str, meta: Mapping[str, Any], task: Task) -> Task:
    """The task as the model decides it; refuse a model that was finetuned for other labels than this task's."""
    if not meta.get("task"):
        return task
    other = Task.from_json(meta["task"])
    if (other.name, other.labels, other.kind) != (task.name, task.labels, task.kind):
        raise UserError(
            f"{where} was finetuned for task {other.name} with labels {_labels(other)}, but this run"
            f" is for {task.name} with {_labels(task)}; take the directory that run_glue.py made"
            f" for {task.name}"
        )
    return replace(task, thresholds=other.thresholds)


def _labels(task: Task) -> str:
    return f"{list(task.labels)} ({task.kind.word})" if task.labels else task.kind.word
