"""Chooses the library, the file and the device for a model of a bundle, and opens it. No Paddle is imported for that.

int8 takes whichever form of it the library runs fast: ONNX Runtime the dynamic one, OpenVINO and Paddle Inference the
static one. bf16 needs no file of its own, the fp32 model is computed in it; so is fp16 by TensorRT, and by Paddle on a
GPU.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ofa_bert.bundle.exits import ExitPlan, Parts, exits_of, pick_parts
from ofa_bert.bundle.manifest import models, read_manifest
from ofa_bert.errors import UserError, first_line
from ofa_bert.exits.loop import Library
from ofa_bert.runtime.backends.base import Settings
from ofa_bert.runtime.backends.registry import ENGINES, PARTS
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_parts import merge
from ofa_bert.runtime.exit_tensors import Part, on_device, on_host
from ofa_bert.system import environment

BACKENDS = ("onnx_runtime", "openvino", "paddle_inference")  # in the order in which "auto" tries them
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-static")
PROVIDERS = ("cpu", "cuda", "tensorrt")
DEVICES = ("cpu", "gpu")
_PACKAGES = {  # what is imported, and what brings it
    "onnx_runtime": ("onnxruntime", 'pip install "ofa_bert[runtime]"'),
    "openvino": ("openvino", 'pip install "ofa_bert[openvino]"'),
    "paddle_inference": ("paddle", 'pip install "ofa_bert[cpu]", or [gpu]'),
}
# (back end, provider) -> precision -> precisions of the files that serve it, best first.
_SERVED_BY: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("onnx_runtime", "cpu"): {
        "fp32": ("fp32",),
        "fp16": ("fp16",),
        "int8": ("int8", "int8-static"),
        "int8-static": ("int8-static",),
    },
    ("onnx_runtime", "cuda"): {"fp32": ("fp32",), "fp16": ("fp16",)},
    ("onnx_runtime", "tensorrt"): {
        "fp32": ("fp32",),
        "fp16": ("fp32",),
        "int8": ("int8-static",),
        "int8-static": ("int8-static",),
    },
    ("openvino", "cpu"): {
        "fp32": ("fp32",),
        "fp16": ("fp16",),
        "bf16": ("fp32",),
        "int8": ("int8-static", "int8"),
        "int8-static": ("int8-static",),
    },
    ("paddle_inference", "cpu"): {
        "fp32": ("fp32",),
        "bf16": ("fp32",),
        "int8": ("int8-static",),
        "int8-static": ("int8-static",),
    },
    ("paddle_inference", "cuda"): {"fp32": ("fp32",), "fp16": ("fp32",)},
    ("paddle_inference", "tensorrt"): {
        "fp32": ("fp32",),
        "fp16": ("fp32",),
        "int8": ("int8-static",),
        "int8-static": ("int8-static",),
    },
}


class _DamagedError(UserError):
    """The library is there and the file is not what it should be."""


class Backend(NamedTuple):
    """A loaded model. `run` maps input_ids and token_type_ids, int64 [B, T], to logits, float32 [B, C]."""

    run: Callable[[np.ndarray, np.ndarray], np.ndarray]
    output: str  # what the model itself calls the logits; Paddle generates this name
    device: str  # "cpu" or "gpu:0"
    name: str
    precision: str  # what it computes in: fp32, fp16, bf16, int8 or int8-static
    provider: str
    # Puts one batch onto the device; what it returns runs it there and returns when it is done. For measuring.
    bind: Callable[[np.ndarray, np.ndarray], Callable[[], object]]


class ExitParts(NamedTuple):
    """The loaded parts of a model with exits.

    segments: (input_ids, token_type_ids) -> [hidden] the first, (hidden, input_ids) -> [hidden] the others; heads, by
    the place of their exit: (hidden, input_ids) -> [logits [B, C], certainty [B]], the last one logits alone.
    complete, by place too: (input_ids, token_type_ids) -> [logits], all that a predicted exit needs in one call.
    """

    segments: Sequence[Part]
    heads: Mapping[int, Part]
    complete: Mapping[int, Part]
    library: Library  # for the hidden states that the parts give
    name: str
    precision: str
    device: str


def open_model(
    bundle: str | Path,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
    profile: Profile | None = None,
) -> Backend:
    """The bundle's model in this precision, ready to run. UserError, with the cure, when that cannot be.

    backend: one of BACKENDS, or "auto": the first that is installed and for which the bundle has a file.
    threads: all usable cores unless given. provider: how a GPU is used; "cuda" when device is "gpu".
    profile: the shapes that TensorRT compiles for.
    """
    provider = _resolve(backend, precision, device, provider)
    manifest = read_manifest(bundle)
    profile = profile or Profile.up_to(manifest["max_seq_length"])
    names = BACKENDS if backend == "auto" else (backend,)
    problems = []
    for name in names:
        try:
            check_choice(name, precision, provider)
            files, held = _pick(Path(bundle), models(manifest), name, precision, provider)
            return _open(files, name, _computed(precision, held), provider, threads, profile)
        except _DamagedError:
            raise  # another file of the same bundle may be no better
        except UserError as error:
            problems.append(str(error))
    if backend != "auto":
        raise UserError(problems[0])
    raise UserError("no back end can open this bundle: " + "; ".join(problems))


def open_files(
    files: Sequence[str | Path],
    backend: str,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
    profile: Profile | None = None,
) -> Backend:
    """As open_model, for files that no manifest describes yet: [model.onnx] or [program, parameters].

    precision: the files' own, or bf16 for files in fp32.
    """
    provider = _resolve(backend, precision, device, provider)
    if backend == "auto":
        raise UserError(f"backend auto: name one for files without a manifest: {', '.join(BACKENDS)}")
    check_choice(backend, precision, provider)
    return _open([Path(path) for path in files], backend, precision, provider, threads, profile or Profile())


def open_exit_parts(
    bundle: str | Path,
    plan: ExitPlan,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
) -> ExitParts:
    """The layers between a bundle's exits and the heads that the plan may ask; arguments as of open_model."""
    provider = _resolve(backend, precision, device, provider)
    if provider == "tensorrt":
        raise UserError("provider tensorrt: has no profiles for the parts of a model with exits; take cuda")
    manifest = read_manifest(bundle)
    entry = exits_of(bundle, manifest)
    problems = []
    for name in BACKENDS if backend == "auto" else (backend,):
        try:
            check_choice(name, precision, provider)
            wanted = _SERVED_BY[name, provider][precision]
            files = pick_parts(Path(bundle), entry, format_of(name), wanted, _forms(name, provider))
        except UserError as error:
            problems.append(str(error))
            continue
        computed = _computed(precision, files.precision)
        return open_part_files(files._replace(precision=computed), name, plan, provider, threads)
    if backend != "auto":
        raise UserError(problems[0])
    raise UserError("no back end can open this bundle's exits: " + "; ".join(problems))


def open_part_files(
    files: Parts, backend: str, plan: ExitPlan, provider: str = "cpu", threads: int | None = None
) -> ExitParts:
    """As open_exit_parts, for files that no manifest describes yet."""
    settings = Settings(files.precision, provider, threads or environment.cores(), Profile())
    last = len(files.heads) - 1
    places = range(len(files.heads)) if plan.table is not None else (*plan.ask, last)
    device = "cpu" if provider == "cpu" else "gpu:0"
    on_cuda = (backend, provider) == ("onnx_runtime", "cuda")
    if on_cuda and plan.table is not None:
        complete = {place: _open_complete(files, place, settings) for place in places}
        return ExitParts([], {}, complete, on_host(), backend, files.precision, device)
    segments = [_load(PARTS, part, backend, settings) for part in files.segments]
    heads = {place: _load(PARTS, files.heads[place], backend, settings) for place in places}
    library = on_host()
    if on_cuda:
        library = on_device(*(_load(PARTS, part, backend, settings) for part in files.moves))
    return ExitParts(segments, heads, {}, library, backend, files.precision, device)


def _open_complete(files: Parts, place: int, settings: Settings) -> Part:
    """One graph up to an exit: on a GPU a call costs more than a layer, and memory for copies of the weights less."""
    parts = [*files.segments[: place + 1], files.heads[place]]
    with tempfile.TemporaryDirectory(prefix="ofa_bert-") as folder:
        target = Path(folder, "complete.onnx")
        merge([path for (path,) in parts], target)
        return _load(PARTS, [target], "onnx_runtime", settings)


def format_of(backend: str) -> str:
    """The format of the models that a back end opens: "paddle" or "onnx"."""
    return "paddle" if backend == "paddle_inference" else "onnx"


def _resolve(backend: str, precision: str, device: str, provider: str | None) -> str:
    """The provider; UserError for a word that means nothing here and for words that contradict each other."""
    _known("backend", backend, ("auto", *BACKENDS))
    _known("precision", precision, PRECISIONS)
    _known("device", device, DEVICES)
    if provider is None:
        return "cuda" if device == "gpu" else "cpu"
    _known("provider", provider, PROVIDERS)
    if provider == "cpu" and device == "gpu":
        raise UserError("provider cpu contradicts device gpu; leave one of them out")
    return provider


def _known(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"{what} {value}: must be one of {', '.join(allowed)}")


def check_choice(backend: str, precision: str, provider: str) -> None:
    """The back end is installed, knows the provider and computes in the precision there."""
    if (backend, provider) not in _SERVED_BY:
        raise UserError(
            f"backend {backend} computes on the CPU only; for provider {provider} take onnx_runtime or paddle_inference"
        )
    package, cure = _PACKAGES[backend]
    if not _installed(package):
        raise UserError(f"backend {backend}: the package {package} is not installed: {cure}")
    served = _SERVED_BY[backend, provider]
    if precision not in served:
        others = [name for name in BACKENDS if precision in _SERVED_BY.get((name, provider), {})]
        cure = f"precisions there: {', '.join(served)}" + (f"; or take {' or '.join(others)}" if others else "")
        raise UserError(f"backend {backend} does not compute in {precision} on provider {provider}; {cure}")


def _installed(package: str) -> bool:
    return sys.modules.get(package) is not None or importlib.util.find_spec(package) is not None


def _pick(bundle: Path, held: list[dict], backend: str, precision: str, provider: str) -> tuple[list[Path], str]:
    """(files, their precision) of the first model in the bundle that serves `precision`."""
    kind, wanted = format_of(backend), _SERVED_BY[backend, provider][precision]
    for file_precision in wanted:
        for fused in _forms(backend, provider):
            for model in held:
                found = model["format"], model["precision"], bool(model.get("fused"))
                if found == (kind, file_precision, fused):
                    return [bundle / name for name in model["files"]], file_precision
    flags = f"--precision {wanted[0]}" + (" --onnx" if kind == "onnx" else "")
    raise UserError(
        f"{bundle}: holds no {kind} model in {' or '.join(wanted)} for backend {backend}, only"
        f" {', '.join(model['name'] for model in held) or 'none'}; export it with export_model.py {flags}"
    )


def _forms(backend: str, provider: str) -> tuple[bool, ...]:
    """Whether fused models are wanted, best first: their operators only ONNX Runtime knows, fast on a GPU alone."""
    return (True, False) if (backend, provider) == ("onnx_runtime", "cuda") else (False,)


def _computed(precision: str, held: str) -> str:
    return held if precision == "int8" else precision


def _open(
    files: Sequence[Path], backend: str, precision: str, provider: str, threads: int | None, profile: Profile
) -> Backend:
    settings = Settings(precision, provider, threads or environment.cores(), profile)
    engine = _load(ENGINES, files, backend, settings)
    bind = engine.bind or (lambda input_ids, token_type_ids: partial(engine.run, input_ids, token_type_ids))
    device = "cpu" if provider == "cpu" else "gpu:0"
    return Backend(engine.run, engine.output, device, backend, precision, provider, bind)


def _load(loaders: Mapping[str, Callable[..., Any]], files: Sequence[Path], backend: str, settings: Settings) -> Any:
    try:
        return loaders[backend](files, settings)
    except (UserError, MemoryError):
        raise
    except ImportError as error:
        raise UserError(f"backend {backend}: {error}; install it again: {_PACKAGES[backend][1]}") from error
    except Exception as error:  # each library has its own types; what they say matters, not which it is
        reason = first_line(error)
        raise _DamagedError(
            f"{files[0]}: {backend} cannot load it: {reason}; copy the bundle again or export it anew"
        ) from error
