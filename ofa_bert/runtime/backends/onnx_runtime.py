"""ONNX Runtime, on the CPU, through CUDA, TensorRT or TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.bundle.exits import HIDDEN
from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError, first_line
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import Capabilities, Engine, Ids, Logits, Provider, Settings
from ofa_bert.runtime.exit_tensors import Array, OnDevice, Part
from ofa_bert.system import packages

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_ORT_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_RTX = tensorrt.RTX_PROVIDER  # a provider that is a package of its own
_RTX_PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"


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
    if settings.provider == _RTX:
        return onnxruntime, _rtx_session(onnxruntime, options, files, settings)
    wanted = _ORT_PROVIDERS[settings.provider]
    if settings.provider != "cpu":
        _require_ort_provider(onnxruntime, settings.provider)
    providers = [(wanted, _ort_provider_options(files, settings))]
    if settings.provider == "tensorrt":
        tensorrt.without_tf32(settings.precision)
        providers.append((_ORT_PROVIDERS["cuda"], {}))  # for what TensorRT does not take
    # ONNX Runtime's kernel for a residual sum with its LayerNormalization is slow on CPUs: 85 ms where the two alone
    # take 15 (12 layers x 384, width 2/3, batch 16 x 128, one thread).
    disabled = ["SkipLayerNormFusion"] if settings.provider == "cpu" else []
    session = onnxruntime.InferenceSession(str(files[0]), options, providers=providers, disabled_optimizers=disabled)
    if session.get_providers()[0] != wanted:  # it falls back to the CPU with no more than a line in the log
        raise UserError(_lost_provider(settings.provider))
    return onnxruntime, session


def _rtx_session(
    onnxruntime: ModuleType, options: SessionOptions, files: Sequence[Path], settings: Settings
) -> InferenceSession:
    """A session in NVIDIA's TensorRT-RTX plugin. UserError where it or a GPU that it serves is missing."""
    tensorrt.served_gpu(_RTX)
    plugin = packages.require(_RTX_PACKAGE)
    tensorrt.without_tf32(settings.precision)
    name = plugin.get_ep_name()
    if not _rtx_devices(onnxruntime, name):
        try:
            onnxruntime.register_execution_provider_library(name, plugin.get_library_path())
        except Exception as error:  # the library's own type
            raise UserError(f"provider {_RTX}: does not load: {first_line(error)}") from error
    devices = _rtx_devices(onnxruntime, name)
    if not devices:
        raise UserError(f"provider {_RTX}: TensorRT-RTX serves none of this machine's GPUs; take provider cuda")
    cache = tensorrt.cache_directory(files, settings.precision, settings.profile)
    options.add_provider_for_devices(devices[:1], tensorrt.rtx_options(settings.profile, cache))
    session = onnxruntime.InferenceSession(str(files[0]), options)
    if session.get_providers()[0] != name:
        raise UserError(f"provider {_RTX}: ONNX Runtime fell back to {session.get_providers()[0]}; take provider cuda")
    return session


def _rtx_devices(onnxruntime: ModuleType, name: str) -> list[object]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]


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
        return tensorrt.provider_options(settings.profile, cache)
    # fp32 means 24 bits: TF32, ONNX Runtime's default on a GPU, keeps 11.
    return {"device_id": "0", "use_tf32": "0"} if settings.provider == "cuda" else {}


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
CAPABILITIES = Capabilities(
    name="onnx_runtime",
    package="onnxruntime",
    cure=packages.cure("onnxruntime"),
    format="onnx",
    providers={
        "cpu": Provider(_CPU_FILES, parts=tuple(_CPU_FILES)),
        # Fused graphs are of its own operators, which are fast on a GPU alone.
        "cuda": Provider({"fp32": ("fp32",), "fp16": ("fp16",)}, ("fp32", "fp16"), fused=True, states_stay=True),
        "tensorrt": Provider(tensorrt.FILES),  # there are no profiles for parts
        _RTX: Provider(tensorrt.FILES),
    },
    load=load,
    load_part=load_part,
)
