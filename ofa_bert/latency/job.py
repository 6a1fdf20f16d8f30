"""What python -m ofa_bert latency does, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option
from ofa_bert.runtime.backends.registry import OF_MODELS, files_for, format_of
from ofa_bert.submodels.values import MULTIPLIER
from ofa_bert.system.accelerator import ENGINE_DEVICES, means


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """The device and how it is used."""

    device: str = option("where the models run; cuda: the same as gpu", "cpu", choices=ENGINE_DEVICES, means=means)
    backend: str = option("library that runs them", OF_MODELS[0], choices=OF_MODELS)
    precision: Literal["fp32", "bf16", "fp16", "int8"] = option("what to compute in", "fp32")
    threads: int | None = option("threads; default: all cores", None, above=0)
    batch: int = option("sentences per call", 1, above=0)
    length: int = option("tokens per sentence", 128, above=0)
    repeats: int = option("timed runs of each model; the median of the faster half counts", 20, above=0)

    def problems(self) -> list[str]:
        found = []
        half, int8 = _measured("fp16", "cuda"), _measured("int8", "cpu")
        if self.precision == "fp16" and (self.backend not in half or self.device != "gpu"):
            found.append(f"`precision` fp16: needs `backend` {_any(half)} `device` gpu; on a CPU take bf16 or int8")
        if self.precision == "int8" and (self.backend not in int8 or self.device == "gpu"):
            found.append(f"`precision` int8: needs `backend` {_any(int8)} on `device` cpu")
        return found


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What the table is fitted to, and what its error is measured on."""

    min_width: float = option(
        "narrowest layer that the table is for, as a share of heads and neurons",
        0.25,
        above=0,
        most=1,
        example=MULTIPLIER,
    )
    models: int = option("uneven sub-models to fit the table to, besides 6 fixed ones", 16, above=0)
    check: int = option(
        "further sub-models to measure its error on",
        10,
        least=3,
        example=", or the error that is reported means nothing",
    )


@dataclass(frozen=True, kw_only=True)
class LatencyJob:
    """A latency table of a model on this device."""

    model: str = option("a supernet, or any model directory: its sizes are what counts, its weights are not used")
    output: str = option("file for the table, JSON")
    model_type: str = model_type_option()
    setting: DeviceSettings = DeviceSettings()
    fit: FitSettings = FitSettings()


def _measured(precision: str, provider: str) -> list[str]:
    """The back ends that run ONNX files in this precision there; static Paddle models are measured in fp32 and bf16."""
    wanted = {precision, f"{precision}-static"}
    return [
        name for name in OF_MODELS if format_of(name) == "onnx" and wanted & {*files_for(name, precision, provider)}
    ]


def _any(names: list[str]) -> str:
    return " or ".join(names) or "(none is here)"
