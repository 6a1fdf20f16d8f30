"""What export_serving does, as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ofa_bert.options import option, repeated, unused
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.system.accelerator import ENGINE_DEVICES, means

ENGINES = ("triton", "paddle_serving", "fastdeploy")


@dataclass(frozen=True, kw_only=True)
class ServingJob:
    """Bundles as the input of serving engines."""

    bundles: tuple[str, ...] = option(
        "exported bundles; those with the same labels and tokenizer become versions 1, 2, ... of one model, in this"
        " order (a server answers with the last one unless asked for another)",
    )
    output_dir: str = option("where triton/, paddle_serving/ and fastdeploy/ go, with a README.md")
    engines: tuple[str, ...] = option("which servers to write for", ENGINES, choices=ENGINES)
    name: str | None = option("what the server calls the model; default: the task's name", None)
    precision: str = option(
        "which ONNX model Triton serves",
        "fp32",
        choices=tuple(name for name in PRECISIONS if name not in ("bf16", "int8-nncf")),
    )
    device: str = option("where the server computes; cuda: the same as gpu", "cpu", choices=ENGINE_DEVICES, means=means)
    accelerator: Literal["none", "tensorrt", "openvino"] = option(
        "what ONNX Runtime computes with inside Triton: TensorRT (on a GPU, in `precision`) or OpenVINO (on a CPU)",
        "none",
    )
    instances: int = option("copies of the model that work at the same time, per GPU or on the CPU", 1, above=0)
    threads: int = option("CPU threads of an instance; 0 leaves it to the engine", 0, least=0)
    max_batch_size: int = option("most requests that one run answers", 64, above=0)
    max_queue_delay_us: int = option("microseconds that a request waits for others to share its batch", 1000, least=0)
    without_exits: bool = option(
        "serve a bundle with early exits as the whole model, every layer for every text", False
    )

    def problems(self) -> list[str]:
        found = repeated("bundles", self.bundles)
        if "triton" not in self.engines:
            found += unused(self, ("precision",), "is of the model that Triton serves; add triton to `engines`")
        if self.accelerator == "tensorrt" and self.device == "cpu":
            found.append("`accelerator` tensorrt: needs `device` gpu")
        refused = tensorrt.refusal(self.precision) if self.accelerator == "tensorrt" else None
        found += [] if refused is None else [refused]
        if self.accelerator == "openvino" and self.device == "gpu":
            found.append("`accelerator` openvino: needs `device` cpu")
        if self.accelerator != "none" and "triton" not in self.engines:
            found.append(f"`accelerator` {self.accelerator}: is Triton's; add triton to `engines`")
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", self.name):
            found.append(f"`name` {self.name}: use letters, digits, dots, dashes and underscores")
        return found
