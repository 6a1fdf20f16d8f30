"""What stands beside weights in `ofa_config.json`, and the versions of the packages that a result depends on."""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata
from typing import Any

import ofa_bert
from ofa_bert.options import to_json
from ofa_bert.system.machine import host_peak_mib
from ofa_bert.tasks.task import Task

FORMAT = 1
_PACKAGES = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "paddlenlp",
    "paddleslim",
    "paddle2onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tokenizers",
    "numpy",
)


def versions() -> dict[str, str]:
    """Installed versions of ofa_bert, Python and the packages that results depend on."""
    found = {"ofa_bert": ofa_bert.__version__, "python": platform.python_version()}
    if "paddle" in sys.modules:  # not imported for this: it takes seconds, and who only runs bundles may not have it
        found["paddle"] = sys.modules["paddle"].__version__
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # one of the two Paddle builds is always missing
            found[package] = metadata.version(package)
    return found


def peak_memory_mib() -> int:
    """The most memory that this process has held so far: on the host, and on the GPU when it computes there."""
    import paddle

    host = int(host_peak_mib() or 0)
    if paddle.get_device().startswith("gpu"):
        return host + paddle.device.cuda.max_memory_allocated() // 2**20
    return host


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
