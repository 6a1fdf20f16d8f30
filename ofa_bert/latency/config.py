"""Flags of latency."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import multipliers, number, option, positive, whole
from ofa_bert.runtime.opening import BACKENDS
from ofa_bert.runtime.opening import DEVICES as ENGINE_DEVICES


@dataclass(frozen=True)
class LatencyConfig:
    """python -m ofa_bert latency."""

    model: str = option("a supernet, or any model directory: its sizes are what counts, its weights are not used")
    output: str = option("file for the table, JSON")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    device: str = option("where the models run", "cpu", choices=ENGINE_DEVICES)
    backend: str = option("library that runs them", "onnx_runtime", choices=BACKENDS)
    precision: str = option("what to compute in", "fp32", choices=("fp32", "bf16", "fp16", "int8"))
    threads: int | None = option("threads; default: all cores", None, whole)
    batch: int = option("sentences per call", 1, whole)
    length: int = option("tokens per sentence", 128, whole)
    min_width: float = option("narrowest layer that the table is for, as a share of heads and neurons", 0.25, number)
    repeats: int = option("timed runs of each model; the median of the faster half counts", 20, whole)
    models: int = option("uneven sub-models to fit the table to, besides 6 fixed ones", 16, whole)
    check: int = option("further sub-models to measure its error on", 10, whole)

    def problems(self) -> list[str]:
        found = positive(self, "threads", "batch", "length", "repeats", "models") + multipliers(self, "min_width")
        if self.precision == "fp16" and (self.backend != "onnx_runtime" or self.device != "gpu"):
            found.append("--precision fp16: needs --backend onnx_runtime --device gpu; on a CPU take bf16 or int8")
        if self.precision == "int8" and (self.backend == "paddle_inference" or self.device == "gpu"):
            found.append("--precision int8: needs --backend onnx_runtime or openvino on --device cpu")
        if self.check < 3:
            found.append(f"--check {self.check}: must be at least 3, or the error that is reported means nothing")
        return found
