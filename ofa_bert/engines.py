"""The three libraries that run an exported model, each imported when it is wanted. `backends` chooses between them.

Every loader gives an Engine whose `run` maps input_ids and token_type_ids, int64 [B, T], to logits, float32 [B, C].
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Sequence

import numpy as np

from ofa_bert import tensorrt
from ofa_bert.bundle.exits import HIDDEN
from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError
from ofa_bert.exit_arrays import Array, OnDevice, Part
from ofa_bert.system import environment
from ofa_bert.tensorrt import Profile

GPU_MEMORY = 256  # MiB that Paddle's pool on a GPU starts with; it grows
_NO_BF16 = "precision bf16: this processor has no bf16 instructions (AVX512-BF16 or AMX); take fp32 or int8"
# oneDNN fusions of Paddle 2.6 and 3.3: of two activations in a row, TinyBERT's tanh and ReLU, they keep one, without a
# message. Without them bf16 is as fast.
_LOSES_ACTIVATIONS = ("fc_act_mkldnn_fuse_pass", "fc_activation_fuse_pass")
_ORT_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class Settings(NamedTuple):
    """How an engine is to compute, all of it resolved."""

    precision: str  # fp32, fp16, bf16, int8 or int8-static
    provider: str  # cpu, cuda or tensorrt
    threads: int
    profile: Profile


class Engine(NamedTuple):
    run: Callable[[np.ndarray, np.ndarray], np.ndarray]
    output: str  # what the model itself calls the logits
    bind: Optional[Callable[[np.ndarray, np.ndarray], Callable[[], object]]] = None


def load_onnx_runtime(files: Sequence[Path], settings: Settings) -> Engine:
    """An ONNX model in ONNX Runtime, on the CPU, through CUDA or through TensorRT."""
    onnxruntime, session = _ort_session(files, settings)

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        return session.run([OUTPUT], dict(zip(INPUTS, (input_ids, token_type_ids))))[0]

    def bind(input_ids: np.ndarray, token_type_ids: np.ndarray) -> Callable[[], object]:
        binding = session.io_binding()
        for name, value in zip(INPUTS, (input_ids, token_type_ids)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output(OUTPUT, "cuda", 0)
        return partial(session.run_with_iobinding, binding)  # returns when the GPU is done

    return Engine(run, OUTPUT, None if settings.provider == "cpu" else bind)


def _ort_session(files: Sequence[Path], settings: Settings, among_many: bool = False) -> tuple[Any, Any]:
    """The library and a session; `among_many`: its threads make room at once for those of the next one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = 3  # errors; a warning about every operator that stays on the CPU helps nobody
    if among_many:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    wanted = _ORT_PROVIDERS[settings.provider]
    if settings.provider != "cpu":
        _require_ort_provider(onnxruntime, settings.provider)
    providers = [(wanted, _ort_provider_options(files, settings))]
    if settings.provider == "tensorrt":
        providers.append((_ORT_PROVIDERS["cuda"], {}))  # for what TensorRT does not take
    # ONNX Runtime's kernel for a residual sum with its LayerNormalization is slow on CPUs: 85 ms where the two alone
    # take 15 (12 layers x 384, width 2/3, batch 16 x 128, one thread).
    disabled = ["SkipLayerNormFusion"] if settings.provider == "cpu" else []
    session = onnxruntime.InferenceSession(str(files[0]), options, providers=providers, disabled_optimizers=disabled)
    if session.get_providers()[0] != wanted:  # it falls back to the CPU with no more than a line in the log
        raise UserError(_lost_provider(settings.provider))
    return onnxruntime, session


def onnx_runtime_part(files: Sequence[Path], settings: Settings) -> Part:
    onnxruntime, session = _ort_session(files, settings, among_many=True)
    if settings.provider != "cpu":
        return bound_part(onnxruntime, session, "cuda")
    names = [item.name for item in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays)))


def bound_part(onnxruntime: Any, session: Any, device: str) -> Part:
    """A part whose hidden states come from and stay on the device; what it answers is copied to the host."""
    names = [item.name for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    stays = [name.startswith(HIDDEN) for name in outputs]

    def run(*arrays: Array) -> list[Array]:
        binding = session.io_binding()
        for name, array in zip(names, arrays):
            if isinstance(array, OnDevice):
                binding.bind_ortvalue_input(name, array.value)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name, stay in zip(outputs, stays):
            binding.bind_output(name, device if stay else "cpu")
        session.run_with_iobinding(binding)
        found = binding.get_outputs()
        return [OnDevice(value) if stay else value.numpy() for value, stay in zip(found, stays)]

    return run


def _ort_provider_options(files: Sequence[Path], settings: Settings) -> dict[str, str]:
    if settings.provider == "tensorrt":
        cache = tensorrt.cache_directory(files, settings.precision, settings.profile)
        return tensorrt.onnx_runtime_options(settings.precision, settings.profile, cache)
    # fp32 means 24 bits: TF32, ONNX Runtime's default on a GPU, keeps 11.
    return {"device_id": "0", "use_tf32": "0"} if settings.provider == "cuda" else {}


def _require_ort_provider(onnxruntime: Any, provider: str) -> None:
    if _ORT_PROVIDERS[provider] not in onnxruntime.get_available_providers():
        raise UserError(
            f"provider {provider}: the installed ONNX Runtime {onnxruntime.__version__} is a build without it;"
            " pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21; finds CUDA and cuDNN among Python packages
    if preload is not None:
        preload()


def _lost_provider(provider: str) -> str:
    if provider == "tensorrt":
        return f"provider tensorrt: {tensorrt.MISSING}"
    return (
        "provider cuda: ONNX Runtime cannot load CUDA or finds no GPU; see whether nvidia-smi lists one, and install"
        ' the CUDA and cuDNN that it wants: pip install "onnxruntime-gpu[cuda,cudnn]"'
    )


def load_openvino(files: Sequence[Path], settings: Settings) -> Engine:
    """An ONNX model in OpenVINO, on the CPU."""
    request = _openvino_model(files, settings).create_infer_request()

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        return request.infer(dict(zip(INPUTS, (input_ids, token_type_ids))))[OUTPUT]

    return Engine(run, OUTPUT)


def _openvino_model(files: Sequence[Path], settings: Settings) -> Any:
    import openvino

    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if settings.precision == "bf16" and "BF16" not in capabilities:
        raise UserError(_NO_BF16)
    config = {
        "INFERENCE_PRECISION_HINT": "bf16" if settings.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": settings.threads,
        "PERFORMANCE_HINT": "LATENCY",  # one request at a time: several instances are several processes
        "ENABLE_CPU_PINNING": False,  # the worker processes are pinned already
    }
    return core.compile_model(str(files[0]), "CPU", config)


def openvino_part(files: Sequence[Path], settings: Settings) -> Part:
    compiled = _openvino_model(files, settings)
    names = [item.get_any_name() for item in compiled.inputs]
    request = compiled.create_infer_request()

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        found = request.infer(dict(zip(names, arrays)))
        return [found[item] for item in compiled.outputs]

    return run


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
    paddle = environment.require_paddle()
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
    raise UserError(_NO_BF16)


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


ENGINES: dict[str, Callable[[Sequence[Path], Settings], Engine]] = {
    "onnx_runtime": load_onnx_runtime,
    "openvino": load_openvino,
    "paddle_inference": load_paddle_inference,
}
PARTS: dict[str, Callable[[Sequence[Path], Settings], Part]] = {
    "onnx_runtime": onnx_runtime_part,
    "openvino": openvino_part,
    "paddle_inference": paddle_inference_part,
}
