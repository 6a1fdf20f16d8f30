"""Packages that only some uses need: imported when one wants them, or an error that says what to install."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from ofa_bert.errors import UserError
from ofa_bert.system import environment

# Package -> the extra of setup.py that brings it, the smallest of several.
EXTRAS = {
    "cuda": "tensorrt-rtx",
    "huggingface_hub": "train",
    "matplotlib": "measure",
    "nncf": "nncf",
    "onnx": "serving",
    "onnxruntime": "runtime",
    "onnxruntime_ep_nv_tensorrt_rtx": "tensorrt-rtx",
    "openvino": "openvino",
    "optuna": "search",
    "paddle2onnx": "cpu",
    "paddlenlp": "train",
    "paddleslim": "train",
    "safetensors": "train",
    "scipy": "measure",
    "seqeval": "measure",
    "sklearn": "measure",
    "tensorboard": "tensorboard",
    "tensorrt_rtx_bindings": "tensorrt-rtx",
    "tokenizers": "runtime",
    "visualdl": "visualdl",
    "wandb": "wandb",
}
_SHOWN = {
    "cuda": "cuda-python",
    "nncf": "NNCF",
    "paddle": "Paddle",
    "paddlenlp": "PaddleNLP",
    "paddleslim": "PaddleSlim",
    "sklearn": "scikit-learn",
    "tensorboard": "TensorBoard",
    "visualdl": "VisualDL",
}
# Nobody owns the name ofa_bert on the public index: pip finds an extra in a checkout alone.
_WHERE = "in the directory that holds ofa_bert's setup.py"


def install(extra: str) -> str:
    """What to type, for an extra of setup.py."""
    return f'pip install ".[{extra}]" {_WHERE}'


def cure(package: str) -> str:
    if package == "paddle":
        return f'for a CPU: {install("cpu")}; for an NVIDIA GPU: pip install ".[gpu]" there'
    return install(EXTRAS[package])


def missing(package: str) -> UserError:
    """The error for a package that is not installed."""
    return UserError(f"{_SHOWN.get(package, package)} is not installed; {cure(package)}")


def lacking(error: ImportError) -> UserError | None:
    """The same for an import that failed; None for one that no extra cures: then something of ours is wrong."""
    package = (error.name or "").split(".")[0]
    known = isinstance(error, ModuleNotFoundError) and (package in EXTRAS or package == "paddle")
    return missing(package) if known else None


def installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: something put a module there that says nothing of itself
        return False
    return found is not None and found.origin is not None  # an empty folder of that name has none


def require(package: str) -> ModuleType:
    """The imported package; UserError that says what to install, or what else of it does not load."""
    environment.prepare()
    shown = _SHOWN.get(package, package)
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise missing(package) from error
        other = lacking(error)
        more = f": {other}" if other else ""
        raise UserError(f"{shown} is installed but the package {error.name!r} that it needs is not{more}") from error
    except ImportError as error:
        raise UserError(f"{shown} is installed but does not load: {error}") from error
    if getattr(module, "__file__", None) is None:  # an empty folder of that name imports as a namespace package
        raise missing(package)
    return module
