"""The engine command: a bundle's typed ONNX file becomes engines, which are listed in its manifest."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ofa_bert.bundle.engine_entry import EngineEntry
from ofa_bert.bundle.entries import FileEntry
from ofa_bert.bundle.manifest import MANIFEST, Bundle, Manifest, checked_manifest, open_bundle
from ofa_bert.engines import library as libraries
from ofa_bert.engines import trial
from ofa_bert.engines.job import TARGETS, EngineJob
from ofa_bert.engines.library import TURING, Parsed
from ofa_bert.engines.network import check
from ofa_bert.engines.plan import EnginePlan
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_bytes_atomic, write_json_atomic
from ofa_bert.progress import Progress
from ofa_bert.reporting import table
from ofa_bert.runtime.backends.tensorrt import Profile, source_of
from ofa_bert.runtime.nvidia.library import RTX, Library, installed
from ofa_bert.runtime.nvidia.runtime_cache import cache_path

logger = logging.getLogger(__name__)


class Wish(NamedTuple):
    """targets: compute capabilities; None: the usual ones that the model can be compiled for."""

    precision: str
    targets: tuple[str, ...] | None
    profile: Profile


FOLDER = "engines"  # inside the bundle
_SHOWN = 8  # digits of a digest, enough for a name of its own


def build_engines(job: EngineJob) -> str:
    """Compile, write and list the engines; what was done, as a table. UserError where that cannot be."""
    before = open_bundle(job.bundle)
    _check(before)
    profile = job.profile(before.manifest.max_seq_length)
    source_of(before, job.precision)  # whether it is there, before a library is asked
    library = installed(job.runtime)
    libraries.check_targets(library, job.compute_capability or ())
    with lock.holding(before.path, beside=True):
        bundle = open_bundle(before.path)  # another command may have added some in between
        entries, _ = add_engines(bundle, Wish(job.precision, job.compute_capability, profile), library)
    return _report(bundle.path, entries, bundle.manifest, library)


def _check(bundle: Bundle) -> None:
    if not bundle.manifest.has_digests:
        raise UserError(
            f"{bundle.path}: has no digests, and an engine is listed with one; first run python -m ofa_bert add_digests"
            f" `bundle` {bundle.path}"
        )


def add_planned(place: Path, plan: EnginePlan) -> Manifest:
    """The manifest of a bundle, which nobody else knows yet, with the engines of a plan."""
    manifest = checked_manifest(place)
    for precision in plan.precisions:
        wish = Wish(precision, plan.targets, Profile.within(manifest.max_seq_length, plan.batch, plan.length))
        _, manifest = add_engines(Bundle(place, manifest), wish, plan.library)
    return manifest


def add_engines(bundle: Bundle, wish: Wish, library: Library) -> tuple[list[EngineEntry], Manifest]:
    """(the engines, the manifest with them): each is in the manifest before the next one is begun."""
    started = time.perf_counter()
    source, held = source_of(bundle, wish.precision)
    parsed = libraries.parse(library, source)
    check(parsed.facts, bundle.manifest, held, str(source))
    logger.info(
        "%s: %d layers read and checked by %s in %.1f s",
        source.name, parsed.facts.layers, library.name, time.perf_counter() - started,
    )  # fmt: skip
    manifest, made = bundle.manifest, []
    targets = _targets(wish, library, parsed)
    for target in Progress(targets, desc=f"engines ({wish.precision})", unit="engine"):
        entry, manifest = _add(bundle.path, manifest, source, wish, library, parsed, target)
        made.append(entry)
        size = manifest.files[entry.file].bytes / 1e6
        logger.info("%s: %.1f MB in %.1f s", entry.file, size, entry.seconds)
    return made, manifest


def _targets(wish: Wish, library: Library, parsed: Parsed) -> Sequence[str | None]:
    """Compute capabilities, of those that nobody named the ones for which the library compiles this model."""
    if not library.targets:
        return (None,)
    if wish.targets is not None:
        libraries.check_targets(library, wish.targets, parsed.facts)
        return wish.targets
    if parsed.facts.float32_products:
        logger.info("%s has no float32 matrix products on Turing, so %s is left out", library.name, TURING)
    return [each for each in TARGETS if each != TURING or not parsed.facts.float32_products]


def _add(
    place: Path, manifest: Manifest, source: Path, wish: Wish, library: Library, parsed: Parsed, target: str | None
) -> tuple[EngineEntry, Manifest]:  # fmt: skip
    """(an engine, the manifest with it): compiled, written, listed; then the one whose place it takes is removed."""
    started, (precision, _, profile) = time.perf_counter(), wish
    engine = libraries.compile_engine(library, parsed, profile, precision, target)
    seconds = time.perf_counter() - started
    digest = hashlib.sha256(engine).hexdigest()
    capability = target or libraries.this_gpu()
    check = trial.tried(library, engine, source, precision, manifest, profile, capability)
    sizes = f"b{'.'.join(map(str, profile.batch))}-t{'.'.join(map(str, profile.length))}"
    version = ".".join(library.version.split(".")[:3])
    # With its digest the name is new: a kill in between leaves every listed file as the manifest says.
    name = f"{library.runtime}-{version}-{precision}-cc{capability}-{sizes}-{digest[:_SHOWN]}.engine"
    entry = EngineEntry(
        f"{FOLDER}/{name}", source.name, library.runtime, library.version, capability, precision, tuple(profile.batch),
        tuple(profile.length), parsed.facts.layers, round(seconds, 2), check,
    )  # fmt: skip
    write_bytes_atomic(place / entry.file, engine)
    replaced = [each for each in manifest.engines if each.key == entry.key]
    gone = {each.file for each in replaced} - {entry.file}
    files = {path: about for path, about in manifest.files.items() if path not in gone}
    files[entry.file] = FileEntry(len(engine), digest)
    engines = tuple(each for each in manifest.engines if each not in replaced)
    made = replace(manifest, engines=(*engines, entry), files=files)
    write_json_atomic(place / MANIFEST, made.to_json())
    for path in gone:
        with suppress(OSError):  # it is listed no longer, so it does not matter
            (place / path).unlink()
            cache_path(place / path).unlink()
    return entry, made


def _report(path: Path, entries: Sequence[EngineEntry], before: Manifest, library: Library) -> str:
    (model,) = (each for each in before.models if each.format == "onnx" and each.files[0] == entries[0].source)
    rows = [
        {
            "engine": entry.file,
            "GPUs": entry.compute_capability,
            "MB": f"{(path / entry.file).stat().st_size / 1e6:.1f}",
            "seconds": f"{entry.seconds:.1f}",
            "layers": entry.layers,
            "state": _state(entry),
        }
        for entry in entries
    ]
    where = f"on a GPU of its compute capability, with {library.name}"
    without = "; compiling needs no GPU, running does" if library.runtime == RTX else ""
    return f"{table(rows)}\n\nFrom {model.name}: each runs {where}{without}."


def _state(entry: EngineEntry) -> str:
    off = "" if entry.check is None else f", logits within {entry.check.max_abs_difference:.1e}"
    return f"{entry.state}{off}"
