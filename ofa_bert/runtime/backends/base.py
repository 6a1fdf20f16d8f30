"""What a back end declares, is given and gives. A new one is a file of its own here and a line in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.manifest import Bundle
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_tensors import Part

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-static", "int8-nncf")
CPU = "cpu"  # the provider that is no GPU
NO_BF16 = "precision bf16: this processor has no bf16 instructions (AVX512-BF16 or AMX); take fp32 or int8"

Ids = NDArray[np.int64]  # [B, T]
Logits = NDArray[np.float32]  # [B, C]


class Settings(NamedTuple):
    """How an engine is to compute, all of it resolved."""

    precision: str  # one of PRECISIONS
    provider: str  # one of the back end's providers
    threads: int
    profile: Profile
    pad_token_id: int | None = None  # of the model; None where nobody says it


class Engine(NamedTuple):
    run: Callable[[Ids, Ids], Logits]
    output: str  # what the model itself calls the logits
    bind: Callable[[Ids, Ids], Callable[[], object]] | None = None
    close: Callable[[], None] | None = None  # None: it goes when nobody holds it any longer


@dataclass(frozen=True)
class Provider:
    """What a back end does on a CPU, or by one way of using a GPU.

    files: precision that is asked for -> precisions of the files that serve it, best first. Of int8 the first is the
    form that runs fast: "int8" (scales at run time) or "int8-static" (calibrated ones).
    parts: precisions in which it also runs the parts of a model with exits.
    fused: where the bundle holds a graph of fused operators, it is the faster one.
    states_stay: hidden states stay on the device between parts, and a call costs more than a layer.
    """

    files: Mapping[str, tuple[str, ...]]
    parts: tuple[str, ...] = ()
    fused: bool = False
    states_stay: bool = False


@dataclass(frozen=True, eq=False)
class Capabilities:
    """A back end: what it needs, what it opens and computes, and the functions that open a model and a part.

    pick: (bundle, precision, provider, profile) -> (files, their precision), for what fits one machine alone; such a
    back end is asked before the others. None: a file's format and precision say whether it can be opened.
    """

    name: str
    package: str  # what is imported
    cure: str  # what brings the package
    format: str  # of the files that it opens: "onnx", "paddle" or "engine"
    providers: Mapping[str, Provider]  # CPU, and ways of using a GPU
    load: Callable[[Sequence[Path], Settings], Engine]
    load_part: Callable[[Sequence[Path], Settings], Part]
    spins: bool = False  # its threads stay awake for a while after a run
    pick: Callable[[Bundle, str, str, Profile | None], tuple[list[Path], str]] | None = None
    own_format: str | None = None  # of files that it alone opens beside those

    @property
    def formats(self) -> tuple[str, ...]:
        return (self.format,) if self.own_format is None else (self.format, self.own_format)

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys("cpu" if provider == CPU else "gpu" for provider in self.providers))
