"""Flags of export_serving."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ofa_bert.options import option, positive, twice, unused, whole
from ofa_bert.runtime.backends.base import PRECISIONS

ENGINES = ("triton", "paddle_serving", "fastdeploy")


@dataclass(frozen=True)
class ServingConfig:
    """python -m ofa_bert export_serving."""

    bundles: tuple = option(
        "exported bundles; those with the same labels and tokenizer become versions 1, 2, ... of one model, in this"
        " order (a server answers with the last one unless asked for another)",
        many=True,
    )
    output_dir: str = option("where triton/, paddle_serving/ and fastdeploy/ go, with a README.md")
    engines: tuple = option("which servers to write for", ENGINES, many=True, choices=ENGINES)
    name: str | None = option("what the server calls the model; default: the task's name", None)
    precision: str = option(
        "which ONNX model Triton serves", "fp32", choices=tuple(name for name in PRECISIONS if name != "bf16")
    )
    device: str = option("where the server computes", "cpu", choices=("cpu", "gpu"))
    accelerator: str = option(
        "what ONNX Runtime computes with inside Triton: TensorRT (FP16, on a GPU) or OpenVINO (on a CPU)",
        "none",
        choices=("none", "tensorrt", "openvino"),
    )
    instances: int = option("copies of the model that work at the same time, per GPU or on the CPU", 1, whole)
    threads: int = option("CPU threads of an instance; 0 leaves it to the engine", 0, whole)
    max_batch_size: int = option("most requests that one run answers", 64, whole)
    max_queue_delay_us: int = option("microseconds that a request waits for others to share its batch", 1000, whole)

    def problems(self) -> list[str]:
        found = twice("bundles", self.bundles) + positive(self, "instances", "max_batch_size")
        found += [
            f"--{flag} {getattr(self, flag)}: must not be negative"
            for flag in ("threads", "max_queue_delay_us")
            if getattr(self, flag) < 0
        ]
        if "triton" not in self.engines:
            found += unused(self, ("precision",), "is of the model that Triton serves; add triton to --engines")
        if self.accelerator == "tensorrt" and self.device == "cpu":
            found.append("--accelerator tensorrt: needs --device gpu")
        if self.accelerator == "openvino" and self.device == "gpu":
            found.append("--accelerator openvino: needs --device cpu")
        if self.accelerator != "none" and "triton" not in self.engines:
            found.append(f"--accelerator {self.accelerator}: is Triton's; add triton to --engines")
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", self.name):
            found.append(f"--name {self.name}: use letters, digits, dots, dashes and underscores")
        return found
