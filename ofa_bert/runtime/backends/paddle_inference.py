"""Paddle Inference, on the CPU, on a GPU or through TensorRT."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import NO_BF16, Capabilities, Engine, Ids, Logits, Provider, Settings
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_tensors import Array, Host, Part
from ofa_bert.system import packages

_SMALLEST_SUBGRAPH = 5  # operators; fewer are not worth leaving Paddle's own kernels for TensorRT
GPU_MEMORY = 256  # MiB that Paddle's pool on a GPU starts with; it grows
# oneDNN fusions of Paddle 2.6 and 3.3: of two activations in a row, TinyBERT's tanh and ReLU, they keep one, without a
# message. Without them bf16 is as fast.
_LOSES_ACTIVATIONS = ("fc_act_mkldnn_fuse_pass", "fc_activation_fuse_pass")


class _Handle(Protocol):
    """A tensor of paddle.inference."""

    def copy_from_cpu(self, array: Host) -> None: ...
    def copy_to_cpu(self) -> Logits: ...


class _Predictor(Protocol):
    """paddle.inference.Predictor, which has no types of its own."""

    def get_input_names(self) -> list[str]: ...
    def get_output_names(self) -> list[str]: ...
    def get_input_handle(self, name: str) -> _Handle: ...
    def get_output_handle(self, name: str) -> _Handle: ...
    def run(self) -> object: ...


class _PrecisionType(Protocol):
    Float32: object
    Half: object
    Int8: object


class _Config(Protocol):
    """paddle.inference.Config, as far as it is set here."""

    def disable_glog_info(self) -> None: ...
    def enable_use_gpu(self, mebibytes: int, device: int, precision: object) -> None: ...
    def disable_gpu(self) -> None: ...
    def set_cpu_math_library_num_threads(self, threads: int) -> None: ...
    def enable_mkldnn(self) -> None: ...
    def disable_mkldnn(self) -> None: ...
    def delete_pass(self, name: str) -> None: ...
    def enable_mkldnn_bfloat16(self) -> None: ...
    def enable_mkldnn_int8(self, operators: set[str]) -> None: ...
    def collect_shape_range_info(self, path: str) -> None: ...
    def enable_tensorrt_engine(self, **settings: object) -> None: ...
    def set_optim_cache_dir(self, path: str) -> None: ...
    def enable_tuned_tensorrt_dynamic_shape(self, path: str, rebuild: bool) -> None: ...


def load(files: Sequence[Path], settings: Settings) -> Engine:
    """A static model in Paddle Inference, on the CPU, on a GPU or through TensorRT."""
    return _paddle_engine(_paddle_predictor(files, settings))


def load_part(files: Sequence[Path], settings: Settings) -> Part:
    predictor = _paddle_predictor(files, settings)
    inputs = [predictor.get_input_handle(name) for name in predictor.get_input_names()]
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def run(*arrays: Array) -> list[Array]:
        for handle, array in zip(inputs, arrays):
            handle.copy_from_cpu(np.ascontiguousarray(array))
        predictor.run()
        return [handle.copy_to_cpu() for handle in outputs]

    return run


def _paddle_predictor(files: Sequence[Path], settings: Settings) -> _Predictor:
    paddle = packages.require("paddle")
    from paddle import inference

    if settings.provider != "cpu":
        _require_paddle_gpu(paddle)
    if settings.provider == "tensorrt":
        _require_tensorrt(inference)
        config = _paddle_tensorrt(inference, files, settings)
    else:
        config = _paddle_config(inference, files, settings)
    predictor: _Predictor = inference.create_predictor(config)
    return predictor


def _paddle_engine(predictor: _Predictor) -> Engine:
    (output,) = predictor.get_output_names()

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        for name, value in zip(INPUTS, (input_ids, token_type_ids)):
            predictor.get_input_handle(name).copy_from_cpu(value)
        predictor.run()
        logits: Logits = predictor.get_output_handle(output).copy_to_cpu()
        return logits

    return Engine(run, output)


def _require_paddle_gpu(paddle: ModuleType) -> None:
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise UserError(
            f"device gpu: Paddle {paddle.__version__} is a CPU build or finds no GPU; use `device` cpu, or install a"
            f" GPU build: {packages.install('gpu')}"
        )


def _paddle_config(inference: ModuleType, files: Sequence[Path], settings: Settings) -> _Config:
    config: _Config = inference.Config(*map(str, files))
    config.disable_glog_info()
    if settings.provider != "cpu":
        half = settings.provider == "cuda" and settings.precision == "fp16"  # TensorRT makes its own half precision
        types = inference.PrecisionType
        config.enable_use_gpu(GPU_MEMORY, 0, types.Half if half else types.Float32)
        return config
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(settings.threads)
    if settings.precision == "fp32":
        config.disable_mkldnn()  # on by default, and no faster than MKL in fp32
        return config
    config.enable_mkldnn()
    for name in _LOSES_ACTIVATIONS:
        config.delete_pass(name)
    if settings.precision == "bf16":
        _require_bf16()
        config.enable_mkldnn_bfloat16()
    else:
        # Without it the quantization is only simulated, at a fifteenth of the speed. Linear layers only: oneDNN's int8
        # products inside attention are wrong (MRPC: accuracy 0.67 instead of 0.85).
        config.enable_mkldnn_int8({"fc"})
    return config


def _require_bf16(cpuinfo: str = "/proc/cpuinfo") -> None:
    with contextlib.suppress(OSError):
        words = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").split()
        if not {"avx512_bf16", "amx_bf16"}.isdisjoint(words):
            return
    raise UserError(NO_BF16)


def _paddle_tensorrt(inference: ModuleType, files: Sequence[Path], settings: Settings) -> _Config:
    cache = tensorrt.cache_directory(files, settings.precision, settings.profile)
    if files[0].suffix == ".json":
        converted = _convert_for_paddle3(files[0], settings.precision, settings.profile, cache)
        return _paddle_config(inference, converted, settings)
    if not _shapes_file(cache).is_file():
        collecting = _paddle_config(inference, files, settings)
        collecting.collect_shape_range_info(str(_shapes_file(cache)))
        # The file is written when the predictor goes.
        run = _paddle_engine(inference.create_predictor(collecting)).run
        for batch in settings.profile.batches():
            run(*batch)
        del run
    config = _paddle_config(inference, files, settings)
    _set_up_tensorrt(config, inference.PrecisionType, settings.precision, settings.profile, cache)
    return config


def _require_tensorrt(inference: ModuleType) -> None:
    """UserError unless this Paddle was built for TensorRT and finds its libraries."""
    if not any(inference.get_trt_compile_version()):
        raise UserError(
            "provider tensorrt: this Paddle was built without TensorRT; install a GPU build of Paddle that has it"
            " (Paddle's Docker images do), or take another back end"
        )
    loaded = inference.get_trt_runtime_version()
    if not any(loaded):
        raise UserError(f"provider tensorrt: {tensorrt.MISSING}")
    tensorrt.check_paddle_can(".".join(map(str, loaded)))


def _set_up_tensorrt(
    config: _Config, precision_type: type[_PrecisionType], precision: str, profile: Profile, cache: Path
) -> None:
    """Switch TensorRT on in a paddle.inference.Config on a GPU, with the shapes that a first run collected."""
    modes = {"fp32": precision_type.Float32, "fp16": precision_type.Half, "int8-static": precision_type.Int8}
    config.enable_tensorrt_engine(
        workspace_size=tensorrt.WORKSPACE,
        max_batch_size=profile.batch[2],
        min_subgraph_size=_SMALLEST_SUBGRAPH,
        precision_mode=modes[precision],
        use_static=True,  # keeps the engine in the cache directory
        use_calib_mode=False,
    )
    config.set_optim_cache_dir(str(cache))
    config.enable_tuned_tensorrt_dynamic_shape(str(_shapes_file(cache)), True)


def _shapes_file(cache: Path) -> Path:
    return cache / "shapes.pbtxt"


def _convert_for_paddle3(program: Path, precision: str, profile: Profile, cache: Path) -> list[Path]:
    """[program, parameters] of a .json model with TensorRT engines inside, which Paddle 3 makes ahead of time."""
    try:
        # Only GPU builds of Paddle 3 have this module, and it needs NVIDIA's Python package.
        from paddle import tensorrt as converter
    except ImportError as error:
        raise UserError(f"provider tensorrt: no converter in this Paddle ({error}); {tensorrt.MISSING}") from error
    version = tensorrt.installed()
    if version is not None:
        tensorrt.check_paddle_can(version)
    target = cache / "engine"
    if not target.with_suffix(".json").is_file():
        shapes = {f"{name}_input_shape": shape for name, shape in profile.shapes().items()}
        shapes["optim_input_shape"] = shapes.pop("opt_input_shape")
        inputs = [converter.Input(**shapes, input_data_type="int64", input_range=(0, 2), name=name) for name in INPUTS]
        config = converter.TensorRTConfig(inputs=inputs)
        modes = converter.PrecisionMode
        config.precision_mode = {"fp32": modes.FP32, "fp16": modes.FP16, "int8-static": modes.INT8}[precision]
        config.save_model_dir = str(target)
        converter.convert(str(program.with_suffix("")), config)
    return [target.with_suffix(".json"), target.with_suffix(".pdiparams")]


_INT8 = {"int8": ("int8-static",), "int8-static": ("int8-static",)}
CAPABILITIES = Capabilities(
    name="paddle_inference",
    package="paddle",
    cure=packages.cure("paddle"),
    format="paddle",
    providers={
        "cpu": Provider({"fp32": ("fp32",), "bf16": ("fp32",), **_INT8}, parts=("fp32", "bf16")),
        # It makes half precision itself, when it loads the fp32 model.
        "cuda": Provider({"fp32": ("fp32",), "fp16": ("fp32",)}, parts=("fp32", "fp16")),
        "tensorrt": Provider({"fp32": ("fp32",), "fp16": ("fp32",), **_INT8}),  # there are no profiles for parts
    },
    load=load,
    load_part=load_part,
    spins=True,
)
