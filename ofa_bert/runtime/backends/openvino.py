"""OpenVINO, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends.base import NO_BF16, Engine, Settings
from ofa_bert.runtime.exit_tensors import Part


def load_openvino(files: Sequence[Path], settings: Settings) -> Engine:
    """An ONNX model in OpenVINO, on the CPU."""
    request = _openvino_model(files, settings).create_infer_request()

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        return request.infer(dict(zip(INPUTS, (input_ids, token_type_ids))))[OUTPUT]

    return Engine(run, OUTPUT)


def _openvino_model(files: Sequence[Path], settings: Settings) -> Any:
    import openvino

    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if settings.precision == "bf16" and "BF16" not in capabilities:
        raise UserError(NO_BF16)
    config = {
        "INFERENCE_PRECISION_HINT": "bf16" if settings.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": settings.threads,
        "PERFORMANCE_HINT": "LATENCY",  # one request at a time: several instances are several processes
        "ENABLE_CPU_PINNING": False,  # the worker processes are pinned already
    }
    return core.compile_model(str(files[0]), "CPU", config)


def openvino_part(files: Sequence[Path], settings: Settings) -> Part:
    compiled = _openvino_model(files, settings)
    names = [item.get_any_name() for item in compiled.inputs]
    request = compiled.create_infer_request()

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        found = request.infer(dict(zip(names, arrays)))
        return [found[item] for item in compiled.outputs]

    return run
