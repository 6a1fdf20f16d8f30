"""What the engine command does, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ofa_bert.bundle.engine_entry import CAPABILITY
from ofa_bert.options import option, repeated, unused
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.tensorrt import Profile

TARGETS = ("7.5", "8.6", "8.9")  # Turing, Ampere and Ada


@dataclass(frozen=True, kw_only=True)
class EngineJob:
    """Engines of one of a bundle's ONNX models, written into the bundle."""

    bundle: str = option("directory that export_model.py `static_sub_model` `onnx` wrote; the engines go into it")
    precision: str = option(
        "fp32, fp16 or int8-static: which ONNX file of the bundle is compiled; its tensors have these types", "fp16"
    )
    runtime: Literal["rtx", "tensorrt"] = option(
        "rtx: NVIDIA's TensorRT for RTX, which compiles without a GPU; tensorrt: TensorRT 10.12 or later, which"
        " compiles for the GPU of this machine",
        "rtx",
    )
    compute_capability: tuple[str, ...] | None = option(
        f"the GPUs that `runtime` rtx compiles for, an engine each; default: those of {' '.join(TARGETS)} that it has"
        " the model's operators for",
        None,
    )
    batch: tuple[int, ...] = option("least, best and most texts of a batch", (1, 16, 64))
    length: tuple[int, ...] | None = option(
        "least, best and most tokens of a text; default: 1, 64 and the bundle's longest input", None
    )

    def profile(self, max_seq_length: int) -> Profile:
        return Profile.within(max_seq_length, self.batch, self.length)

    def problems(self) -> list[str]:
        refused = tensorrt.refusal(self.precision)
        found = [] if refused is None else [refused]
        return found + _capabilities("compute_capability", self.compute_capability, "runtime", self.runtime)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Engines that an export compiles in the same go; what the options are called says what each is of EngineJob."""

    engine: Literal["rtx", "tensorrt"] | None = option(
        "also compile engines, in each of `precision` that TensorRT has (fp32 only if no other is asked for): rtx,"
        " TensorRT for RTX, without a GPU; tensorrt, for the GPU of this machine. int8-static then gets a file whose"
        " rest is FP16",
        None,
    )
    engine_compute_capability: tuple[str, ...] | None = option(
        f"the GPUs that `engine` rtx compiles for; default: those of {' '.join(TARGETS)} that can be", None
    )
    engine_batch: tuple[int, ...] = option("least, best and most texts of a batch, for `engine`", (1, 16, 64))
    engine_length: tuple[int, ...] | None = option(
        "least, best and most tokens of a text, for `engine`; default: 1, 64 and the longest input", None
    )

    def problems(self) -> list[str]:
        if self.engine is None:
            names = ("engine_compute_capability", "engine_batch", "engine_length")
            return unused(self, names, "is about `engine`; give that too")
        return _capabilities("engine_compute_capability", self.engine_compute_capability, "engine", self.engine)

    def compiled(self, precisions: Sequence[str]) -> tuple[str, ...]:
        """What engines are made in, of a bundle in these precisions."""
        if self.engine is None:
            return ()
        wanted = [name for name, sources in tensorrt.SOURCES.items() if {*sources} & {*precisions}]
        return tuple(name for name in wanted if name != "fp32") or ("fp32",)


def _capabilities(name: str, values: Sequence[str] | None, of: str, runtime: str) -> list[str]:
    found = [
        f"`{name}` {value}: must be two numbers with a dot, such as 8.6"
        for value in values or ()
        if not CAPABILITY.fullmatch(value)
    ]
    if values and runtime == "tensorrt":
        found.append(f"`{name}`: TensorRT compiles for the GPU of this machine; leave it out, or take `{of}` rtx")
    return found + repeated(name, values or ())
