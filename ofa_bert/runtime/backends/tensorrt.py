"""TensorRT: profiles of batch and length, the options of the engines that drive it, and trtexec's command line.

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
from typing import Any

import numpy as np

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.errors import UserError

WORKSPACE = 1 << 30  # bytes that TensorRT may use while it compiles
SMALLEST_SUBGRAPH = 5  # operators; fewer are not worth leaving Paddle's own kernels
MISSING = (
    "TensorRT's libraries (libnvinfer) are not there or do not load; install NVIDIA's TensorRT and put its lib"
    " directory into LD_LIBRARY_PATH, or leave TensorRT out: --provider cuda"
)


@dataclass(frozen=True)
class Profile:
    """(least, best, most) rows of a batch and tokens of a row."""

    batch: tuple[int, int, int] = (1, 16, 64)
    length: tuple[int, int, int] = (1, 64, 128)

    def __post_init__(self) -> None:
        for name, values in (("batch", self.batch), ("length", self.length)):
            if len(values) != 3 or not 1 <= values[0] <= values[1] <= values[2]:
                shown = " ".join(map(str, values))
                raise UserError(f"--{name} {shown}: give least, best and most, in this order, for example 1 16 64")

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

    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
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


def onnx_runtime_options(precision: str, profile: Profile, cache: Path) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider, as text, which is what it takes."""
    options = {
        "device_id": "0",
        "trt_max_workspace_size": str(WORKSPACE),
        "trt_fp16_enable": str(precision != "fp32"),
        "trt_int8_enable": str(precision == "int8-static"),
        "trt_layer_norm_fp32_fallback": str(precision != "fp32"),  # variances overflow fp16
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }
    options.update({f"trt_profile_{name}_shapes": shapes for name, shapes in profile.by_input().items()})
    return options


def require_paddle_tensorrt(inference: Any) -> None:
    """UserError unless this Paddle was built for TensorRT and finds its libraries."""
    if not any(inference.get_trt_compile_version()):
        raise UserError(
            "provider tensorrt: this Paddle was built without TensorRT; install a GPU build of Paddle that has it"
            " (Paddle's Docker images do), or use --backend onnx_runtime"
        )
    if not any(inference.get_trt_runtime_version()):
        raise UserError(f"provider tensorrt: {MISSING}")


def set_up_paddle(config: Any, precision_type: Any, precision: str, profile: Profile, cache: Path) -> None:
    """Switch TensorRT on in a paddle.inference.Config on a GPU, with the shapes that `collect_shapes` found."""
    modes = {"fp32": precision_type.Float32, "fp16": precision_type.Half, "int8-static": precision_type.Int8}
    config.enable_tensorrt_engine(
        workspace_size=WORKSPACE,
        max_batch_size=profile.batch[2],
        min_subgraph_size=SMALLEST_SUBGRAPH,
        precision_mode=modes[precision],
        use_static=True,  # keeps the engine in the cache directory
        use_calib_mode=False,
    )
    config.set_optim_cache_dir(str(cache))
    config.enable_tuned_tensorrt_dynamic_shape(str(shapes_file(cache)), True)


def shapes_file(cache: Path) -> Path:
    return cache / "shapes.pbtxt"


def convert_for_paddle3(program: Path, precision: str, profile: Profile, cache: Path) -> list[Path]:
    """[program, parameters] of a .json model with TensorRT engines inside, which Paddle 3 makes ahead of time."""
    try:
        # Only GPU builds of Paddle 3 have this module, and it needs NVIDIA's Python package.
        from paddle import tensorrt
    except ImportError as error:
        raise UserError(f"provider tensorrt: no converter in this Paddle ({error}); {MISSING}") from error
    target = cache / "engine"
    if not target.with_suffix(".json").is_file():
        shapes = {f"{name}_input_shape": shape for name, shape in profile.shapes().items()}
        shapes["optim_input_shape"] = shapes.pop("opt_input_shape")
        inputs = [tensorrt.Input(**shapes, input_data_type="int64", input_range=(0, 2), name=name) for name in INPUTS]
        config = tensorrt.TensorRTConfig(inputs=inputs)
        modes = tensorrt.PrecisionMode
        config.precision_mode = {"fp32": modes.FP32, "fp16": modes.FP16, "int8-static": modes.INT8}[precision]
        config.save_model_dir = str(target)
        tensorrt.convert(str(program.with_suffix("")), config)
    return [target.with_suffix(".json"), target.with_suffix(".pdiparams")]
