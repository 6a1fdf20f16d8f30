"""A process of its own: one library is imported and says what it is. python -m ofa_bert.doctor.probes.loads"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from importlib import metadata
from types import ModuleType

from ofa_bert.errors import RunError
from ofa_bert.system import child_process, packages


def load(request: Mapping[str, object]) -> dict[str, object]:
    """{"absent": True}, or the version and what else is asked of this library."""
    package = str(request["package"])
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # an empty folder of that name is found as a namespace
        return {"absent": True}
    module = packages.require(package)
    more = _MORE.get(package)
    return {"version": _version(module), **(more(module) if more else {})}


def _version(module: ModuleType) -> str:
    """What was installed; of a package whose distribution has another name, what it says itself."""
    try:
        return metadata.version(module.__name__)
    except metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", "unknown"))


def _paddle(paddle: ModuleType) -> dict[str, object]:
    computed = float(paddle.ones([2, 2], "float32").cpu().sum())
    if computed != 4.0:
        raise RunError(f"the sum of four ones is {computed}")
    built = bool(paddle.is_compiled_with_cuda())
    return {
        "gpu_build": built,
        "cuda": str(paddle.version.cuda()) if built else None,
        "cudnn": str(paddle.version.cudnn()) if built else None,
        "gpus": int(paddle.device.cuda.device_count()) if built else 0,
    }


def _onnxruntime(onnxruntime: ModuleType) -> dict[str, object]:
    names = onnxruntime.get_available_providers()
    return {"devices": [str(name).removesuffix("ExecutionProvider") for name in names]}


def _openvino(openvino: ModuleType) -> dict[str, object]:
    return {"devices": [str(name) for name in openvino.Core().available_devices]}


_MORE = {"paddle": _paddle, "onnxruntime": _onnxruntime, "openvino": _openvino}


if __name__ == "__main__":
    sys.exit(child_process.answer(load))
