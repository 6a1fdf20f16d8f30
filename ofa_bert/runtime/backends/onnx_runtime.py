"""ONNX Runtime, on the CPU, through CUDA or through TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.bundle.exits import HIDDEN
from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import Capabilities, Engine, Ids, Logits, Provider, Settings
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_tensors import Array, OnDevice, Part
from ofa_bert.system import packages

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_ORT_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def load(files: Sequence[Path], settings: Settings) -> Engine:
    """An ONNX model in ONNX Runtime, on the CPU, through CUDA or through TensorRT."""
    onnxruntime, session = _ort_session(files, settings)

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        logits: Logits = session.run([OUTPUT], dict(zip(INPUTS, (input_ids, token_type_ids))))[0]
        return logits

    def bind(input_ids: Ids, token_type_ids: Ids) -> Callable[[], object]:
        binding = session.io_binding()
        for name, value in zip(INPUTS, (input_ids, token_type_ids)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output(OUTPUT, "cuda", 0)
        return partial(session.run_with_iobinding, binding)  # returns when the GPU is done

    return Engine(run, OUTPUT, None if settings.provider == "cpu" else bind)


def _ort_session(
    files: Sequence[Path], settings: Settings, among_many: bool = False
) -> tuple[ModuleType, InferenceSession]:
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


def load_part(files: Sequence[Path], settings: Settings) -> Part:
    _, session = _ort_session(files, settings, among_many=True)
    if settings.provider != "cpu":
        return bound_part(session, "cuda")
    names = [item.name for item in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays)))


def bound_part(session: InferenceSession, device: str) -> Part:
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
        return tensorrt_options(settings.precision, settings.profile, cache)
    # fp32 means 24 bits: TF32, ONNX Runtime's default on a GPU, keeps 11.
    return {"device_id": "0", "use_tf32": "0"} if settings.provider == "cuda" else {}


def tensorrt_options(precision: str, profile: Profile, cache: Path) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider, as text, which is what it takes."""
    options = {
        "device_id": "0",
        "trt_max_workspace_size": str(tensorrt.WORKSPACE),
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


def _require_ort_provider(onnxruntime: ModuleType, provider: str) -> None:
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


_CPU_FILES = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "int8": ("int8", "int8-static"),
    "int8-static": ("int8-static",),
}
_TENSORRT_FILES = {"fp32": ("fp32",), "fp16": ("fp32",), "int8": ("int8-static",), "int8-static": ("int8-static",)}
CAPABILITIES = Capabilities(
    name="onnx_runtime",
    package="onnxruntime",
    cure=packages.cure("onnxruntime"),
    format="onnx",
    providers={
        "cpu": Provider(_CPU_FILES, parts=tuple(_CPU_FILES)),
        # Fused graphs are of its own operators, which are fast on a GPU alone.
        "cuda": Provider({"fp32": ("fp32",), "fp16": ("fp16",)}, ("fp32", "fp16"), fused=True, states_stay=True),
        "tensorrt": Provider(_TENSORRT_FILES),  # there are no profiles for parts
    },
    load=load,
    load_part=load_part,
)
