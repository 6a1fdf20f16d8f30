"""Flags of latency."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import multipliers, number, option, positive, whole
from ofa_bert.runtime.backends.registry import BACKENDS, files_for, format_of
from ofa_bert.runtime.opening import DEVICES as ENGINE_DEVICES


@dataclass(frozen=True)
class LatencyConfig:
    """python -m ofa_bert latency."""

    model: str = option("a supernet, or any model directory: its sizes are what counts, its weights are not used")
    output: str = option("file for the table, JSON")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    device: str = option("where the models run", "cpu", choices=ENGINE_DEVICES)
    backend: str = option("library that runs them", BACKENDS[0], choices=BACKENDS)
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
        half, int8 = _measured("fp16", "cuda"), _measured("int8", "cpu")
        if self.precision == "fp16" and (self.backend not in half or self.device != "gpu"):
            found.append(f"--precision fp16: needs --backend {_any(half)} --device gpu; on a CPU take bf16 or int8")
        if self.precision == "int8" and (self.backend not in int8 or self.device == "gpu"):
            found.append(f"--precision int8: needs --backend {_any(int8)} on --device cpu")
        if self.check < 3:
            found.append(f"--check {self.check}: must be at least 3, or the error that is reported means nothing")
        return found


def _measured(precision: str, provider: str) -> list[str]:
    """The back ends that run ONNX files in this precision there; static Paddle models are measured in fp32 and bf16."""
    wanted = {precision, f"{precision}-static"}
    return [name for name in BACKENDS if format_of(name) == "onnx" and wanted & {*files_for(name, precision, provider)}]


def _any(names: list[str]) -> str:
    return " or ".join(names) or "(none is here)"
