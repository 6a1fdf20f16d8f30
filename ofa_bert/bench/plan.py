"""What a benchmark will measure: the bundles, the models that run here, and why the others do not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ofa_bert.bench.job import BenchGrid
from ofa_bert.bench.peers.base import Job, described
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.bench.probe import Candidate, Facts, Setup, probe
from ofa_bert.bench.rows import Skipped
from ofa_bert.bundle.manifest import Bundle, Manifest, open_bundle
from ofa_bert.errors import UserError
from ofa_bert.progress import Progress
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.runtime.backends.registry import REGISTRY, files_for
from ofa_bert.system import environment

logger = logging.getLogger(__name__)

Bundles = dict[str, Bundle]  # by short name


@dataclass(frozen=True)
class Model:
    """A candidate that runs here, and what is known of it before it is timed."""

    candidate: Candidate
    facts: Facts


def open_bundles(paths: Sequence[str]) -> Bundles:
    """The bundles, opened, by short name: it is the directory's, with its parent's where two are called alike."""
    resolved = [Path(path).resolve() for path in paths]
    twice = [str(path) for path, count in Counter(resolved).items() if count > 1]
    if twice:
        raise UserError(f"`bundles` {twice[0]}: given twice")
    alike = Counter(path.name for path in resolved)
    names = [path.name if alike[path.name] == 1 else f"{path.parent.name}/{path.name}" for path in resolved]
    return {name: open_bundle(path) for name, path in zip(names, paths)}


def check(grid: BenchGrid, bundles: Bundles) -> None:
    """UserError for lengths that a bundle has no positions for, and for more threads than cores."""
    problems = [
        f"`length` {length}: {name} was exported for at most {bundle.manifest.max_seq_length} tokens"
        for length in grid.length
        for name, bundle in bundles.items()
        if length > bundle.manifest.max_seq_length
    ]
    cores = environment.cores()
    problems += [
        f"`threads` {count}: this process may use {cores} core(s), and more threads than that only wait for each other"
        for count in grid.threads or ()
        if count > cores
    ]
    if problems:
        raise UserError("; ".join(problems))


def candidates(grid: BenchGrid, bundles: Bundles) -> Iterator[Candidate]:
    """Every combination that was asked for, in the order of the flags, the bundles innermost."""
    for backend in grid.backends:
        for precision in grid.precisions or PRECISIONS:
            for name, bundle in bundles.items():
                if grid.precisions or precision in offered(bundle.manifest, backend):
                    yield Candidate(name, str(bundle.path), backend, precision)


def offered(manifest: Manifest, backend: str) -> set[str]:
    """The precisions of the files that a back end could open, and bf16, which is no file: some compute fp32's in it."""
    held = {model.precision for model in manifest.models if model.format in REGISTRY[backend].formats} - {"bf16"}
    if REGISTRY[backend].pick is not None:
        held = {engine.precision for engine in manifest.engines}
    return held | ({"bf16"} if held & {*files_for(backend, "bf16")} else set())


def runnable(grid: BenchGrid, bundles: Bundles, scratch: Path) -> tuple[list[Model], list[Skipped]]:
    """(models that run here, what does not and why). Two that turn out to be the same model are measured once."""
    skipped: list[Skipped] = []
    wanted = [*candidates(grid, bundles), *_peers(grid, bundles, scratch, skipped)]
    found: dict[Candidate, Model] = {}
    for candidate in Progress(wanted, desc="open", unit="model", leave=False):
        facts = probe(
            candidate, setup_of(grid, max(thread_counts(grid))), bundles[candidate.bundle].manifest.pad_token_id
        )
        if "error" in facts:
            skipped.append(_skip(candidate, facts["error"]))
        else:
            real = replace(candidate, precision=facts["precision"])
            found.setdefault(real, Model(real, facts))
    return list(found.values()), skipped


def _skip(candidate: Candidate, reason: str) -> Skipped:
    return {
        "bundle": candidate.bundle,
        "path": candidate.path,
        "backend": candidate.backend,
        "precision": candidate.precision,
        "reason": reason,
    }


def _peers(grid: BenchGrid, bundles: Bundles, scratch: Path, skipped: list[Skipped]) -> Iterator[Candidate]:
    """Every peer of every bundle's shape, or of the first bundle's only."""
    jobs: list[tuple[Candidate, Job]] = []
    for name in grid.peers:
        peer = PEERS[name]
        precisions = tuple(wanted for wanted in grid.precisions or () if wanted in peer.precisions)
        precisions = precisions or peer.precisions[:1]
        for number, (short, bundle) in enumerate(bundles.items()):
            if peer.first_only and number:
                continue
            mine = [Candidate(short, str(bundle.path), name, precision) for precision in precisions]
            try:
                shape, sub_model = described(bundle.manifest, str(bundle.path))
            except UserError as error:
                skipped += [_skip(candidate, str(error)) for candidate in mine]
                continue
            if peer.write is None:
                yield from mine
                continue
            job = Job(name, shape, sub_model, str(scratch / f"{name}-{number}"), precisions, grid.device == "gpu")
            jobs += [(candidate, job) for candidate in mine]
    for write in dict.fromkeys(PEERS[job.peer].write for _, job in jobs):
        yield from _written([(candidate, job) for candidate, job in jobs if PEERS[job.peer].write == write], skipped)


def _written(wanted: Sequence[tuple[Candidate, Job]], skipped: list[Skipped]) -> Iterator[Candidate]:
    """The candidates with the files that their peers' one `write` makes."""
    jobs = list({job.prefix: job for _, job in wanted}.values())
    write = PEERS[jobs[0].peer].write
    assert write is not None  # or there were no job
    logger.info("exporting %d peer(s)", len(jobs))
    try:
        answers = dict(zip((job.prefix for job in jobs), write(jobs)))
    except UserError as error:
        skipped += [_skip(candidate, str(error)) for candidate, _ in wanted]
        return
    for candidate, job in wanted:
        answer = answers[job.prefix]
        logger.info("%s of %s in %s: fused %s", candidate.backend, candidate.bundle, candidate.precision, answer.fused)
        yield replace(candidate, file=answer.files[candidate.precision])


def thread_counts(grid: BenchGrid) -> tuple[int, ...]:
    return grid.threads or (environment.cores(),)


def setup_of(grid: BenchGrid, threads: int) -> Setup:
    return Setup(grid.device, grid.provider, threads, tuple(grid.batch), tuple(grid.length))
