"""TensorRT: profiles of batch and length, the cache of its engines, and trtexec's command line.

TensorRT compiles a model for ranges of shapes. A profile says which: least, best and most rows and tokens. Compiling
takes minutes, so engines are kept in a cache directory that is named after the model's content and the settings.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown

WORKSPACE = 1 << 30  # bytes that TensorRT may use while it compiles
MISSING = (
    "TensorRT's libraries (libnvinfer) are not there or do not load; install NVIDIA's TensorRT and put its lib"
    " directory into LD_LIBRARY_PATH, or leave TensorRT out: `provider` cuda"
)


@dataclass(frozen=True)
class Profile:
    """(least, best, most) rows of a batch and tokens of a row. UserError for what is not three numbers in order."""

    batch: tuple[int, ...] = (1, 16, 64)
    length: tuple[int, ...] = (1, 64, 128)

    def __post_init__(self) -> None:
        for name, values in (("batch", self.batch), ("length", self.length)):
            whole = isinstance(values, (tuple, list)) and all(type(value) is int for value in values)
            if not whole or len(values) != 3 or not 1 <= values[0] <= values[1] <= values[2]:
                given = " ".join(map(str, values)) if whole else shown(values)
                raise UserError(f"`{name}` {given}: give least, best and most, in this order, for example 1 16 64")

    @classmethod
    def up_to(cls, max_seq_length: int) -> Profile:
        """The default for a model of this length."""
        return cls(length=(1, min(64, max_seq_length), max_seq_length))

    def shapes(self) -> dict[str, tuple[int, int]]:
        """(rows, tokens) under "min", "opt" and "max", TensorRT's words for least, best and most."""
        return dict(zip(("min", "opt", "max"), zip(self.batch, self.length)))

    def by_input(self) -> dict[str, str]:
        """The same as text for both inputs: {"min": "input_ids:1x1,token_type_ids:1x1", ...}."""
        return {
            name: ",".join(f"{item}:{rows}x{tokens}" for item in INPUTS)
            for name, (rows, tokens) in self.shapes().items()
        }

    def batches(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """input_ids and token_type_ids, int64 [B, T], of each of the three shapes."""
        return [(np.ones(shape, np.int64), np.zeros(shape, np.int64)) for shape in self.shapes().values()]


def trtexec_command(model: Path, precision: str, profile: Profile, engine: Path) -> str:
    """The command line that compiles an ONNX model into `engine`, ready to paste into a shell."""
    words = ["trtexec", f"--onnx={model}", f"--saveEngine={engine}"]
    words += {"fp32": [], "fp16": ["--fp16"], "int8-static": ["--int8", "--fp16"]}[precision]
    words += [f"--{name}Shapes={shapes}" for name, shapes in profile.by_input().items()]
    return shlex.join(words)


def cache_directory(files: Sequence[Path], precision: str, profile: Profile) -> Path:
    """Where engines of exactly this model and these settings are kept, made if need be."""
    digest = hashlib.sha256(f"{precision} {profile}".encode())
    for path in files:
        digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    directory = Path(home) / "ofa_bert" / "tensorrt" / digest.hexdigest()[:20]
    directory.mkdir(parents=True, exist_ok=True)
    return directory
