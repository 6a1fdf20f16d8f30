"""What stands beside weights in `ofa_config.json`."""

from __future__ import annotations

from typing import Any

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
