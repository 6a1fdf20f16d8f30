"""The versions of the packages that a result depends on."""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata

import ofa_bert

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
