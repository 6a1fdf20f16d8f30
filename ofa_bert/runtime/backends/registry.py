"""The libraries that run an exported model, and what one may ask about them. None of them is imported for that."""

from __future__ import annotations

from importlib import import_module

from ofa_bert.errors import UserError
from ofa_bert.runtime.backends.base import CPU, Capabilities

# A line a back end, the name of its file; in the order in which "auto" tries them.
_FILES = (
    "onnx_runtime",
    "openvino",
    "paddle_inference",
    "tensorrt_engine",
)


def _registered() -> dict[str, Capabilities]:
    found: list[Capabilities] = [import_module(f"{__package__}.{name}").CAPABILITIES for name in _FILES]
    return {item.name: item for item in found}


REGISTRY = _registered()
BACKENDS = tuple(REGISTRY)
OF_MODELS = tuple(name for name, item in REGISTRY.items() if item.pick is None)  # they open what an export writes
PROVIDERS = tuple(dict.fromkeys(provider for item in REGISTRY.values() for provider in item.providers))


def format_of(backend: str) -> str:
    """The format of the files that a back end opens: "paddle", "onnx" or "engine"."""
    return REGISTRY[backend].format


def automatic(provider: str) -> tuple[str, ...]:
    """The back ends in the order in which "auto" tries them: what was compiled for this machine comes first."""
    compiled = [name for name, item in REGISTRY.items() if item.pick is not None and provider in item.providers]
    return (*compiled, *OF_MODELS)


def files_for(backend: str, precision: str, provider: str = CPU) -> tuple[str, ...]:
    """Precisions of the files that serve `precision`, best first; empty where the back end does not compute in it."""
    how = REGISTRY[backend].providers.get(provider)
    return () if how is None else how.files.get(precision, ())


def computed_in(precision: str, held: str) -> str:
    """What a file in `held` is computed in for who asks for `precision`: int8 names no form, the file has one."""
    return held if precision == "int8" else precision


def best_form(backend: str, precision: str, provider: str = CPU) -> str:
    """The precision that an export is best written in for this back end; int8 in the form that it runs fast."""
    files = files_for(backend, precision, provider)
    return computed_in(precision, files[0]) if files else precision


def wants_fused(backend: str, device: str) -> bool:
    """Whether a graph of fused operators is the faster one on this device."""
    providers = REGISTRY[backend].providers.items()
    return any(how.fused for provider, how in providers if (provider == CPU) == (device == "cpu"))


def first_for(format: str, precision: str = "fp32", fused: bool = False, parts: bool = False) -> str:
    """The first back end that opens such files on a CPU: what an export is checked with."""
    for name, item in REGISTRY.items():
        how = item.providers.get(CPU)
        if format not in item.formats or how is None or precision not in (how.parts if parts else how.files):
            continue
        if not fused or any(other.fused for other in item.providers.values()):
            return name
    what = "parts of models with exits" if parts else "models"
    raise UserError(f"no back end runs {format} {what} in {precision}; there are {', '.join(BACKENDS)}")
