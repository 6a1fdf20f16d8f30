"""Opens one model of a bundle in Paddle Inference, ONNX Runtime or OpenVINO. Imports none of them before it must."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]

BACKENDS = ("onnx_runtime", "openvino", "paddle_inference")  # in the order in which "auto" tries them
PROVIDERS = ("cpu", "cuda", "tensorrt")


class Backend(NamedTuple):
    """A loaded model. `run` maps input_ids and token_type_ids, int64 [B, T], to logits, float32 [B, C]."""

    run: Run
    output: str  # what the model itself calls the logits; Paddle generates this name
    device: str
    name: str
    precision: str
    # Binds one batch to the device once; the result runs it there and returns when it is done, without copies.
    bind: Optional[Callable[[np.ndarray, np.ndarray], Callable[[], object]]] = None


def open_model(
    bundle: str | Path,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
) -> Backend:
    """The bundle's model in this precision, ready to run. UserError, with the cure, when that cannot be."""
    raise NotImplementedError


def open_files(
    files: Sequence[Path],
    backend: str,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
) -> Backend:
    """As open_model, for the files themselves, [model.onnx] or [program, parameters], without a manifest.

    precision: what to compute in: of the files' own precisions, or bf16 for files in fp32.
    """
    raise NotImplementedError
