"""Paddle Inference, on the CPU, on a GPU or through TensorRT."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import NO_BF16, Engine, Settings
from ofa_bert.runtime.exit_tensors import Part
from ofa_bert.system import packages

GPU_MEMORY = 256  # MiB that Paddle's pool on a GPU starts with; it grows
# oneDNN fusions of Paddle 2.6 and 3.3: of two activations in a row, TinyBERT's tanh and ReLU, they keep one, without a
# message. Without them bf16 is as fast.
_LOSES_ACTIVATIONS = ("fc_act_mkldnn_fuse_pass", "fc_activation_fuse_pass")


def load_paddle_inference(files: Sequence[Path], settings: Settings) -> Engine:
    """A static model in Paddle Inference, on the CPU, on a GPU or through TensorRT."""
    return _paddle_engine(_paddle_predictor(files, settings))


def paddle_inference_part(files: Sequence[Path], settings: Settings) -> Part:
    predictor = _paddle_predictor(files, settings)
    inputs = [predictor.get_input_handle(name) for name in predictor.get_input_names()]
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        for handle, array in zip(inputs, arrays):
            handle.copy_from_cpu(np.ascontiguousarray(array))
        predictor.run()
        return [handle.copy_to_cpu() for handle in outputs]

    return run


def _paddle_predictor(files: Sequence[Path], settings: Settings) -> Any:
    paddle = packages.require("paddle")
    from paddle import inference

    if settings.provider != "cpu":
        _require_paddle_gpu(paddle)
    if settings.provider == "tensorrt":
        tensorrt.require_paddle_tensorrt(inference)
        config = _paddle_tensorrt(inference, files, settings)
    else:
        config = _paddle_config(inference, files, settings)
    return inference.create_predictor(config)


def _paddle_engine(predictor: Any) -> Engine:
    (output,) = predictor.get_output_names()

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        for name, value in zip(INPUTS, (input_ids, token_type_ids)):
            predictor.get_input_handle(name).copy_from_cpu(value)
        predictor.run()
        return predictor.get_output_handle(output).copy_to_cpu()

    return Engine(run, output)


def _require_paddle_gpu(paddle: Any) -> None:
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise UserError(
            f"device gpu: Paddle {paddle.__version__} is a CPU build or finds no GPU; use --device cpu, or install a"
            ' GPU build: pip install "ofa_bert[gpu]"'
        )


def _paddle_config(inference: Any, files: Sequence[Path], settings: Settings) -> Any:
    config = inference.Config(*map(str, files))
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


def _paddle_tensorrt(inference: Any, files: Sequence[Path], settings: Settings) -> Any:
    cache = tensorrt.cache_directory(files, settings.precision, settings.profile)
    if files[0].suffix == ".json":
        converted = tensorrt.convert_for_paddle3(files[0], settings.precision, settings.profile, cache)
        return _paddle_config(inference, converted, settings)
    if not tensorrt.shapes_file(cache).is_file():
        collecting = _paddle_config(inference, files, settings)
        collecting.collect_shape_range_info(str(tensorrt.shapes_file(cache)))
        # The file is written when the predictor goes.
        run = _paddle_engine(inference.create_predictor(collecting)).run
        for batch in settings.profile.batches():
            run(*batch)
        del run
    config = _paddle_config(inference, files, settings)
    tensorrt.set_up_paddle(config, inference.PrecisionType, settings.precision, settings.profile, cache)
    return config
