"""The libraries that run an exported model, each imported when it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ofa_bert.runtime.backends.base import Engine, Settings
from ofa_bert.runtime.backends.onnx_runtime import load_onnx_runtime, onnx_runtime_part
from ofa_bert.runtime.backends.openvino import load_openvino, openvino_part
from ofa_bert.runtime.backends.paddle_inference import load_paddle_inference, paddle_inference_part
from ofa_bert.runtime.exit_tensors import Part

ENGINES: dict[str, Callable[[Sequence[Path], Settings], Engine]] = {
    "onnx_runtime": load_onnx_runtime,
    "openvino": load_openvino,
    "paddle_inference": load_paddle_inference,
}
PARTS: dict[str, Callable[[Sequence[Path], Settings], Part]] = {
    "onnx_runtime": onnx_runtime_part,
    "openvino": openvino_part,
    "paddle_inference": paddle_inference_part,
}
