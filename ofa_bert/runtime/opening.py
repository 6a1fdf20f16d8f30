"""Chooses the library, the file and the device for a model of a bundle, and opens it. No Paddle is imported for that.

What a library can do is what its file in backends/ declares. A precision need not have files of its own: int8 takes
whichever form of it the library runs fast, and some compute the fp32 model in bf16 or fp16.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ofa_bert.bundle.exits import ExitPlan, Parts, exits_of, pick_parts
from ofa_bert.bundle.manifest import Bundle, open_bundle
from ofa_bert.errors import UserError, first_line
from ofa_bert.exits.loop import Library
from ofa_bert.runtime.arguments import whole_number, word
from ofa_bert.runtime.backends.base import CPU, PRECISIONS, Ids, Logits, Settings
from ofa_bert.runtime.backends.registry import (
    BACKENDS,
    OF_MODELS,
    PROVIDERS,
    REGISTRY,
    automatic,
    computed_in,
    files_for,
)
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_parts import merge
from ofa_bert.runtime.exit_tensors import Part, on_device, on_host
from ofa_bert.system import environment

logger = logging.getLogger(__name__)

DEVICES = ("cpu", "gpu")
# Threads, of all its processes together, that a model is refused: more than four to a core only wait for one another,
# and the libraries end the process, without a message, when the system has no more. 256 is a large machine's command
# line tried on a small one.
MOST_THREADS = max(256, 4 * environment.cores())
Loaded = TypeVar("Loaded")


class _DamagedError(UserError):
    """The library is there and the file is not what it should be."""


class Backend(NamedTuple):
    """A loaded model. `run` maps input_ids and token_type_ids, int64 [B, T], to logits, float32 [B, C]."""

    run: Callable[[Ids, Ids], Logits]
    output: str  # what the model itself calls the logits; Paddle generates this name
    device: str  # "cpu" or "gpu:0"
    name: str
    precision: str  # what it computes in: fp32, fp16, bf16, int8, int8-static or int8-nncf
    provider: str
    # Puts one batch onto the device; what it returns runs it there and returns when it is done. For measuring.
    bind: Callable[[Ids, Ids], Callable[[], object]]
    close: Callable[[], None] | None = None  # frees at once what else goes when nobody holds the model any longer


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
    bundle: str | Path | Bundle,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
    profile: Profile | None = None,
) -> Backend:
    """The bundle's model in this precision, ready to run. UserError, with the cure, when that cannot be.

    bundle: its directory, which is read and checked; or one that was opened, which is not read again.
    backend: one of BACKENDS, or "auto": the first that is installed and for which the bundle has a file.
    threads: all usable cores unless given. provider: how a GPU is used; "cuda" when device is "gpu".
    profile: the shapes that TensorRT compiles for.
    """
    provider = resolve(backend, precision, device, provider)
    if threads is not None:
        whole_number("threads", threads, 1, MOST_THREADS)
    bundle = open_bundle(bundle)
    limits = profile or Profile.up_to(bundle.manifest.max_seq_length)
    problems: list[str] = []
    for name in automatic(provider) if backend == "auto" else (backend,):
        try:
            check_choice(name, precision, provider)
            own = REGISTRY[name].pick
            files, held = own(bundle, precision, provider, profile) if own else _pick(bundle, name, precision, provider)
            if problems and bundle.manifest.engines:
                logger.info("%s is taken: %s", name, problems[0])
            computed, pad = computed_in(precision, held), bundle.manifest.pad_token_id
            return _open(files, name, Settings(computed, provider, threads or environment.cores(), limits, pad))
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
    provider = resolve(backend, precision, device, provider)
    if backend == "auto":
        raise UserError(f"backend auto: name one for files without a manifest: {', '.join(BACKENDS)}")
    check_choice(backend, precision, provider)
    settings = Settings(precision, provider, threads or environment.cores(), profile or Profile())
    return _open([Path(path) for path in files], backend, settings)


def open_exit_parts(
    bundle: str | Path | Bundle,
    plan: ExitPlan,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
) -> ExitParts:
    """The layers between a bundle's exits and the heads that the plan may ask; arguments as of open_model."""
    provider = resolve(backend, precision, device, provider)
    if threads is not None:
        whole_number("threads", threads, 1, MOST_THREADS)
    bundle = open_bundle(bundle)
    exits_of(bundle)  # before any back end is asked: without exits none can open them
    problems = []
    for name in OF_MODELS if backend == "auto" else (backend,):
        try:
            check_choice(name, precision, provider)
            _check_parts(name, precision, provider)
            wanted = files_for(name, precision, provider)
            files = pick_parts(bundle, REGISTRY[name].format, wanted, _forms(name, provider))
        except UserError as error:
            problems.append(str(error))
            continue
        computed = computed_in(precision, files.precision)
        return open_part_files(files._replace(precision=computed), name, plan, provider, threads)
    if backend != "auto":
        raise UserError(problems[0])
    raise UserError("no back end can open this bundle's exits: " + "; ".join(problems))


def open_part_files(
    files: Parts, backend: str, plan: ExitPlan, provider: str = CPU, threads: int | None = None
) -> ExitParts:
    """As open_exit_parts, for files that no manifest describes yet."""
    settings = Settings(files.precision, provider, threads or environment.cores(), Profile())
    last = len(files.heads) - 1
    places = range(len(files.heads)) if plan.table is not None else (*plan.ask, last)
    device, stay = _device(provider), REGISTRY[backend].providers[provider].states_stay
    if stay and plan.table is not None:
        complete = {place: _open_complete(files, place, backend, settings) for place in places}
        return ExitParts([], {}, complete, on_host(), backend, files.precision, device)
    segments = [_open_part(part, backend, settings) for part in files.segments]
    heads = {place: _open_part(files.heads[place], backend, settings) for place in places}
    library = on_host()
    if stay:
        library = on_device(*(_open_part(part, backend, settings) for part in files.moves))
    return ExitParts(segments, heads, {}, library, backend, files.precision, device)


def _open_complete(files: Parts, place: int, backend: str, settings: Settings) -> Part:
    """One graph up to an exit: where states stay on a GPU, its memory for copies of the weights is worth the calls."""
    parts = [*files.segments[: place + 1], files.heads[place]]
    with tempfile.TemporaryDirectory(prefix="ofa_bert-") as folder:
        target = Path(folder, "complete.onnx")
        merge([path for (path,) in parts], target)
        return _open_part([target], backend, settings)


def _open_part(files: Sequence[Path], backend: str, settings: Settings) -> Part:
    return _load(REGISTRY[backend].load_part, files, backend, settings)


def resolve(backend: str, precision: str, device: str, provider: str | None) -> str:
    """The provider; UserError for a word that means nothing here and for words that contradict each other."""
    word("backend", backend, ("auto", *BACKENDS))
    word("precision", precision, PRECISIONS)
    word("device", device, DEVICES)
    if provider is None:
        return "cuda" if device == "gpu" else CPU
    word("provider", provider, PROVIDERS)
    if provider == CPU and device == "gpu":
        raise UserError("provider cpu contradicts device gpu; leave one of them out")
    return provider


def check_choice(backend: str, precision: str, provider: str) -> None:
    """The back end is installed, knows the provider and computes in the precision there."""
    chosen = REGISTRY[backend]
    if provider not in chosen.providers:
        where = "on the CPU" if tuple(chosen.providers) == (CPU,) else f"on {', '.join(chosen.providers)}"
        others = [name for name, item in REGISTRY.items() if provider in item.providers]
        cure = f"take {' or '.join(others)}" if others else "there is no back end here"
        raise UserError(f"backend {backend} computes {where} only; for provider {provider} {cure}")
    if not _installed(chosen.package):
        raise UserError(f"backend {backend}: the package {chosen.package} is not installed: {chosen.cure}")
    served = chosen.providers[provider].files
    if precision not in served:
        others = [name for name in BACKENDS if files_for(name, precision, provider)]
        cure = f"precisions there: {', '.join(served)}" + (f"; or take {' or '.join(others)}" if others else "")
        raise UserError(f"backend {backend} does not compute in {precision} on provider {provider}; {cure}")


def _check_parts(backend: str, precision: str, provider: str) -> None:
    providers = REGISTRY[backend].providers
    if precision not in providers[provider].parts:
        others = [name for name, how in providers.items() if precision in how.parts]
        there = f"; take {' or '.join(sorted(others, key=CPU.__eq__))}" if others else ""
        raise UserError(
            f"provider {provider}: {backend} does not run the parts of a model with exits in {precision} there{there}"
        )


def _installed(package: str) -> bool:
    return sys.modules.get(package) is not None or importlib.util.find_spec(package) is not None


def _pick(bundle: Bundle, backend: str, precision: str, provider: str) -> tuple[list[Path], str]:
    """(files, their precision) of the first model in the bundle that serves `precision`."""
    kinds, wanted = REGISTRY[backend].formats, files_for(backend, precision, provider)
    for file_precision in wanted:
        for fused in _forms(backend, provider):
            for model in bundle.manifest.models:
                if model.format in kinds and (model.precision, model.fused) == (file_precision, fused):
                    return bundle.paths(model.files), file_precision
    kind = kinds[0]
    flags = f"`precision` {wanted[0]}" + (" `onnx`" if kind == "onnx" else "")
    raise UserError(
        f"{bundle.path}: holds no {kind} model in {' or '.join(wanted)} for backend {backend}, only {bundle.held()};"
        f" export it with export_model.py {flags}"
    )


def _forms(backend: str, provider: str) -> tuple[bool, ...]:
    """Whether fused models are wanted, best first."""
    return (True, False) if REGISTRY[backend].providers[provider].fused else (False,)


def _device(provider: str) -> str:
    return "cpu" if provider == CPU else "gpu:0"


def _open(files: Sequence[Path], backend: str, settings: Settings) -> Backend:
    engine = _load(REGISTRY[backend].load, files, backend, settings)
    bind = engine.bind or (lambda input_ids, token_type_ids: partial(engine.run, input_ids, token_type_ids))
    device = _device(settings.provider)
    return Backend(
        engine.run, engine.output, device, backend, settings.precision, settings.provider, bind, engine.close
    )


def _load(
    load: Callable[[Sequence[Path], Settings], Loaded], files: Sequence[Path], backend: str, settings: Settings
) -> Loaded:
    try:
        return load(files, settings)
    except (UserError, MemoryError):
        raise
    except ImportError as error:
        raise UserError(f"backend {backend}: {error}; install it again: {REGISTRY[backend].cure}") from error
    except Exception as error:  # each library has its own types; what they say matters, not which it is
        reason = first_line(error)
        raise _DamagedError(
            f"{files[0]}: {backend} cannot load it: {reason}; copy the bundle again or export it anew"
        ) from error
