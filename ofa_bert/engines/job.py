"""What the engine command does, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.bundle.engine_entry import CAPABILITY
from ofa_bert.options import option, repeated
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
        f"the GPUs that `runtime` rtx compiles for, an engine each; default: {' '.join(TARGETS)}", None
    )
    batch: tuple[int, ...] = option("least, best and most texts of a batch", (1, 16, 64))
    length: tuple[int, ...] | None = option(
        "least, best and most tokens of a text; default: 1, 64 and the bundle's longest input", None
    )

    @property
    def targets(self) -> tuple[str, ...]:
        return self.compute_capability or TARGETS

    def profile(self, max_seq_length: int) -> Profile:
        return Profile.within(max_seq_length, self.batch, self.length)

    def problems(self) -> list[str]:
        refused = tensorrt.refusal(self.precision)
        found = [] if refused is None else [refused]
        for value in self.compute_capability or ():
            if not CAPABILITY.fullmatch(value):
                found.append(f"`compute_capability` {value}: must be two numbers with a dot, such as 8.6")
        if self.compute_capability and self.runtime == "tensorrt":
            found.append(
                "`compute_capability`: TensorRT compiles for the GPU of this machine; leave it out, or take"
                " `runtime` rtx"
            )
        return found + repeated("compute_capability", self.compute_capability or ())
