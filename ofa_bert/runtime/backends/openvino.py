"""OpenVINO, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends.base import NO_BF16, Capabilities, Engine, Ids, Logits, Provider, Settings
from ofa_bert.runtime.exit_tensors import Array, Part
from ofa_bert.system import packages

if TYPE_CHECKING:
    from openvino import CompiledModel


def load(files: Sequence[Path], settings: Settings) -> Engine:
    """An ONNX model, or one in OpenVINO's own form, on the CPU."""
    request = compiled_model(files, settings).create_infer_request()

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        logits: Logits = request.infer(dict(zip(INPUTS, (input_ids, token_type_ids))))[OUTPUT]
        return logits

    return Engine(run, OUTPUT)


def compiled_model(files: Sequence[Path], settings: Settings) -> CompiledModel:
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


def load_part(files: Sequence[Path], settings: Settings) -> Part:
    compiled = compiled_model(files, settings)
    names = [item.get_any_name() for item in compiled.inputs]
    request = compiled.create_infer_request()

    def run(*arrays: Array) -> list[Array]:
        found = request.infer(dict(zip(names, arrays)))
        return [found[item] for item in compiled.outputs]

    return run


_FILES = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "bf16": ("fp32",),
    "int8": ("int8-static", "int8"),
    "int8-static": ("int8-static",),
}
_NNCF = {"int8-nncf": ("int8-nncf",)}
CAPABILITIES = Capabilities(
    name="openvino",
    package="openvino",
    cure=packages.cure("openvino"),
    format="onnx",
    providers={"cpu": Provider({**_FILES, **_NNCF}, parts=tuple(_FILES))},
    load=load,
    load_part=load_part,
    own_format="ir",
)
