"""TensorRT: which file of a bundle it is given, with which options; profiles, and the cache of its engines.

It computes in the types that a file's tensors have: that is the only way since TensorRT 11, whose options for a
precision are gone, and works as well with 10.12 and later and with TensorRT-RTX. So a precision is a choice of file,
and whatever reaches TensorRT asks here for it: the engine command, trtexec's line, ONNX Runtime and Triton.

TensorRT compiles a model for ranges of shapes. A profile says which: least, best and most rows and tokens. Compiling
takes minutes, so engines are kept in a cache directory that is named after the model's content and the settings.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.entries import HALF_STATIC
from ofa_bert.bundle.manifest import INPUTS, Bundle
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.system import accelerator
from ofa_bert.system.nvidia import Capability

# What is asked for -> the files that serve it: their tensors have these types. int8 has no form of its own here.
FILES = {"fp32": ("fp32",), "fp16": ("fp16",), "int8": ("int8-static",), "int8-static": ("int8-static",)}
PRECISIONS = ("fp32", "fp16", "int8-static")
# What is compiled -> the files that it can be compiled from, best first: all in fp16 but the int8 products is faster,
# and the only form of them that Turing has.
SOURCES = {"fp32": ("fp32",), "fp16": ("fp16",), "int8-static": (HALF_STATIC, "int8-static")}
TYPED_BY_OPTION = "10"  # the major version that is told to keep a file's types; later ones do nothing else
FIRST_WITHOUT_PRECISIONS = 11  # the major version whose builder takes no precision
RTX_PROVIDER = "tensorrt_rtx"
UNSERVED_BY_RTX = {9: "Hopper", 10: "Blackwell for data centres"}  # major compute capability -> name
_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings")
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
        _check_ends("batch", self.batch)
        _check_ends("length", self.length)

    @classmethod
    def up_to(cls, max_seq_length: int) -> Profile:
        """The default for a model of this length."""
        return cls(length=(1, min(64, max_seq_length), max_seq_length))

    @classmethod
    def within(
        cls, max_seq_length: int, batch: tuple[int, ...], length: tuple[int, ...] | None, prefix: str = ""
    ) -> Profile:
        """The one that was asked for, of a model of this length. UserError for texts that are longer.

        prefix: of the names of the options that asked for it.
        """
        for name, values in (("batch", batch), ("length", length)):
            if values is not None:
                _check_ends(prefix + name, values)
        made = cls(batch, cls.up_to(max_seq_length).length if length is None else length)
        if made.length[2] > max_seq_length:
            raise UserError(
                f"`{prefix}length` {made.length[2]}: the bundle was exported for up to {max_seq_length} tokens"
            )
        return made

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


def _check_ends(name: str, values: tuple[int, ...]) -> None:
    whole = isinstance(values, (tuple, list)) and all(type(value) is int for value in values)
    if not whole or len(values) != 3 or not 1 <= values[0] <= values[1] <= values[2]:
        given = " ".join(map(str, values)) if whole else shown(values)
        raise UserError(f"`{name}` {given}: give least, best and most, in this order, for example 1 16 64")


def refusal(precision: str) -> str | None:
    """Why a file in that precision is nothing for TensorRT; None when it is."""
    if precision in PRECISIONS:
        return None
    if precision == "int8":
        return (
            "`precision` int8: TensorRT has no operators for activations that are quantized as they come;"
            " take int8-static, whose scales are in the file"
        )
    return f"`precision` {precision}: must be one of {', '.join(PRECISIONS)}"


def source_of(bundle: Bundle, precision: str) -> tuple[Path, str]:
    """(the ONNX file that is compiled, the precision that it is in). UserError when the bundle has none."""
    held = {each.precision for each in bundle.manifest.models if each.format == "onnx" and not each.fused}
    found = next((each for each in SOURCES[precision] if each in held), precision)
    return bundle.model_files("onnx", found)[0], found


def trtexec_command(model: Path, precision: str, profile: Profile, engine: Path, major: str) -> str:
    """The command line that compiles a typed ONNX model into `engine`, ready to paste into a shell."""
    words = ["trtexec", f"--onnx={model}", f"--saveEngine={engine}"]
    words += ["--stronglyTyped"] if major == TYPED_BY_OPTION else []
    words += ["--noTF32"] if precision == "fp32" else []  # which keeps 11 of a product's 24 bits
    words += [f"--{name}Shapes={shapes}" for name, shapes in profile.by_input().items()]
    return shlex.join(words)


def provider_options(profile: Profile, cache: Path) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider, as text, which is what it takes.

    None of them is a precision: without one it makes a strongly typed network, the types are the file's.
    """
    options = {
        "device_id": "0",
        "trt_max_workspace_size": str(WORKSPACE),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }
    options.update({f"trt_profile_{name}_shapes": shapes for name, shapes in profile.by_input().items()})
    return options


def rtx_options(profile: Profile, cache: Path) -> dict[str, str]:
    """The same for its TensorRT-RTX provider, a package of its own that takes no precision at all."""
    options = {"nv_max_workspace_size": str(WORKSPACE), "nv_runtime_cache_path": str(cache)}
    options.update({f"nv_profile_{name}_shapes": shapes for name, shapes in profile.by_input().items()})
    return options


def served_gpu(provider: str) -> Capability:
    """This machine's first GPU. UserError where there is none, or TensorRT-RTX has no code for it."""
    found = next(iter(accelerator.capabilities()), None)
    if found is None:
        raise UserError(f"provider {provider}: finds no NVIDIA GPU and driver (libcuda); take device cpu")
    if provider == RTX_PROVIDER and found[0] in UNSERVED_BY_RTX:
        raise UserError(
            f"provider {provider}: TensorRT-RTX has no code for a GPU of compute capability {accelerator.shown(found)}"
            f" ({UNSERVED_BY_RTX[found[0]]}); take provider tensorrt or cuda"
        )
    return found


def without_tf32(precision: str) -> None:
    """Products of a float32 model keep their 24 bits: ONNX Runtime has no option for that, NVIDIA's libraries have."""
    if precision == "fp32":
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")


def installed() -> str | None:
    """The version of NVIDIA's Python package; None without one. Importing it would load 2 GB of libraries."""
    for package in _PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def check_paddle_can(version: str) -> None:
    """UserError for a TensorRT beside which Paddle's own use of it, by options for a precision, cannot work."""
    if int(version.partition(".")[0]) >= FIRST_WITHOUT_PRECISIONS:
        raise UserError(
            f"provider tensorrt: Paddle is built for TensorRT 8 to 10, and {version} is installed, which takes a"
            " precision from an ONNX file alone; take backend onnx_runtime, or python -m ofa_bert engine"
        )


def cache_directory(files: Sequence[Path], precision: str, profile: Profile) -> Path:
    """Where engines of exactly this model and these settings are kept, made if need be."""
    digest = hashlib.sha256(f"{precision} {profile} {installed()}".encode())
    for path in files:
        digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    directory = Path(home) / "ofa_bert" / "tensorrt" / digest.hexdigest()[:20]
    directory.mkdir(parents=True, exist_ok=True)
    return directory
