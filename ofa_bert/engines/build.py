"""The engine command: a bundle's typed ONNX file becomes engines, which are listed in its manifest."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ofa_bert.bundle.engine_entry import EngineEntry
from ofa_bert.bundle.entries import FileEntry
from ofa_bert.bundle.manifest import MANIFEST, Bundle, Manifest, open_bundle
from ofa_bert.engines import library as libraries
from ofa_bert.engines import trial
from ofa_bert.engines.job import EngineJob
from ofa_bert.engines.library import Parsed
from ofa_bert.engines.network import check
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_bytes_atomic, write_json_atomic
from ofa_bert.progress import Progress
from ofa_bert.reporting import table
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.nvidia.library import RTX, Library, installed

logger = logging.getLogger(__name__)

FOLDER = "engines"  # inside the bundle
_SHOWN = 8  # digits of a digest, enough for a name of its own


def build_engines(job: EngineJob) -> str:
    """Compile, write and list the engines; what was done, as a table. UserError where that cannot be."""
    before = open_bundle(job.bundle)
    _check(before)
    profile = job.profile(before.manifest.max_seq_length)
    before.model_files("onnx", job.precision)  # whether it is there, before a library is asked
    library = installed(job.runtime)
    if library.targets:
        libraries.check_targets(library, job.targets)
    with lock.holding(before.path, beside=True):
        bundle = open_bundle(before.path)  # another command may have added some in between
        (source,) = bundle.model_files("onnx", job.precision)
        entries = _build(bundle, source, job, library, profile)
    return _report(bundle.path, entries, bundle.manifest, library)


def _check(bundle: Bundle) -> None:
    if not bundle.manifest.has_digests:
        raise UserError(
            f"{bundle.path}: has no digests, and an engine is listed with one; first run python -m ofa_bert add_digests"
            f" `bundle` {bundle.path}"
        )


def _build(bundle: Bundle, source: Path, job: EngineJob, library: Library, profile: Profile) -> list[EngineEntry]:
    """Every engine is in the manifest before the next one is begun."""
    started = time.perf_counter()
    parsed = libraries.parse(library, source)
    check(parsed.facts, bundle.manifest, job.precision, str(source))
    targets: Sequence[str | None] = (None,)
    if library.targets:
        libraries.check_targets(library, job.targets, parsed.facts)
        targets = job.targets
    logger.info(
        "%s: %d layers read and checked by %s in %.1f s",
        source.name, parsed.facts.layers, library.name, time.perf_counter() - started,
    )  # fmt: skip
    manifest, made = bundle.manifest, []
    for target in Progress(targets, desc=f"engines ({job.precision})", unit="engine"):
        entry, manifest = _add(bundle.path, manifest, source, job.precision, library, parsed, profile, target)
        made.append(entry)
        size = manifest.files[entry.file].bytes / 1e6
        logger.info("%s: %.1f MB in %.1f s", entry.file, size, entry.seconds)
    return made


def _add(
    place: Path, manifest: Manifest, source: Path, precision: str, library: Library, parsed: Parsed, profile: Profile,
    target: str | None,
) -> tuple[EngineEntry, Manifest]:  # fmt: skip
    """(an engine, the manifest with it): compiled, written, listed; then the one whose place it takes is removed."""
    started = time.perf_counter()
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
