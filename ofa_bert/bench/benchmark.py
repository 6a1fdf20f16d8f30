"""python -m ofa_bert bench: bundles in every back end and precision, measured in turn in one run.

Each model is first opened in a process of its own, which says what memory it takes or why it does not run. Then all
of them are opened side by side and run in turn at every batch and length. A GPU's runs end when it is done.
"""

from __future__ import annotations

import logging
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ofa_bert.bench.job import BenchGrid, BenchJob, RoundSettings
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.bench.plan import Bundles, Model, check, open_bundles, runnable, setup_of, thread_counts
from ofa_bert.bench.plots import LATENCY, TRADE_OFF, latency_figure, trade_off_figure
from ofa_bert.bench.probe import Candidate, open_candidate, tokens
from ofa_bert.bench.rows import (
    CSV_FILE,
    JSON_FILE,
    MODEL_COLUMNS,
    TABLE_FILE,
    About,
    Measured,
    Row,
    Score,
    Skipped,
    add_score_differences,
    add_speedups,
    in_full,
    model_rows,
    skipped_lines,
    speed_table,
    timing,
    write_rows,
)
from ofa_bert.bundle.entries import ModelEntry
from ofa_bert.bundle.manifest import Manifest
from ofa_bert.data.source import DataSource
from ofa_bert.drawing import save
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.progress import Progress
from ofa_bert.reporting import explained
from ofa_bert.runtime.answering.labelled import answered
from ofa_bert.runtime.backends.registry import REGISTRY
from ofa_bert.runtime.opening import Backend
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.system import packages
from ofa_bert.system import timing as system_timing
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.intervals import mean_score
from ofa_bert.tasks.task import Datasets, Task

logger = logging.getLogger(__name__)

Key = tuple[int, int]  # threads, index of the model
# Back ends and peers whose threads do not sleep at once.
SPINNING = {item.name for item in REGISTRY.values() if item.spins} | {p.name for p in PEERS.values() if p.spins}


@lock.writer("output_dir")
def bench(job: BenchJob, argv: Sequence[str] = (), download: Callable[[Task], Datasets] | None = None) -> str:
    """Measure, write rows, table and plots into the output directory, and return the text to print."""
    packages.require("matplotlib")  # now, not when everything has been measured
    bundles = open_bundles(job.bundles)
    check(job.grid, bundles)
    data = _data(job.data, bundles, download)
    grid, output = job.grid, Path(job.output_dir)
    with tempfile.TemporaryDirectory(prefix="ofa_bert-") as scratch:
        found, skipped = runnable(grid, bundles, Path(scratch))
        for line in skipped_lines(skipped):
            logger.warning("%s", line)
        if not found:
            raise RunError("nothing can be measured: " + "; ".join(skipped_lines(skipped)))
        scores = {model.candidate: score_of(model, bundles, data, grid) for model in found}
        about = _about(grid.device, argv)
        rows: list[Row] = []
        for row in measured(grid, job.rounds, found, bundles, scores):
            rows.append(in_full(row, about))
            if len(rows) % len(found) == 0:  # after every setting: a run that is cut short keeps what it has
                add_speedups(rows)
                add_score_differences(rows)
                write_rows(output, rows, skipped)
    drawn = _draw(rows, output)
    text = report(rows, skipped, next((b.manifest.task.kind.row for b in bundles.values() if b.manifest.task), None))
    write_text_atomic(output / TABLE_FILE, text + "\n")
    return f"{text}\n\n{output}: {', '.join([JSON_FILE, CSV_FILE, TABLE_FILE, *drawn])}"


def _draw(rows: Sequence[Row], output: Path) -> list[str]:
    """The names of the pictures; without any score there is one alone."""
    pictures = {LATENCY: latency_figure(rows), TRADE_OFF: trade_off_figure(rows)}
    drawn = {name: figure for name, figure in pictures.items() if figure is not None}
    for name, figure in drawn.items():
        save(figure, output / name)
    return list(drawn)


def _about(device: str, argv: Sequence[str]) -> About:
    here = machine(device)
    return {
        "processor": here["processor"],
        "cores": here["cores"],
        "gpu": here["gpu"],
        "versions": "; ".join(f"{name} {number}" for name, number in versions().items()),
        "command": shlex.join(["python", "-m", "ofa_bert", "bench", *argv]),
    }


def _data(source: DataSource, bundles: Bundles, download: Callable[[Task], Datasets] | None) -> Datasets | None:
    """The dev data to score on, with the classes in the order that the bundles know them; None when none are given."""
    if not source.given:
        return None
    tasks = {name: bundle.manifest.task for name, bundle in bundles.items()}
    task = next(iter(tasks.values()))
    if task is None:
        raise UserError(f"{next(iter(tasks))}: does not say its task, so data cannot score it; leave them out")
    other = [name for name, each in tasks.items() if each is None or each.labels != task.labels]
    if other:
        raise UserError(f"{other[0]}: has other labels than the first bundle, so the data cannot score both")
    # The bundles know their task: beside a GLUE task's directory the name may be left out.
    return source.load(task, download, task.name if source.data_dir else None)


def score_of(model: Model, bundles: Bundles, data: Datasets | None, grid: BenchGrid) -> Score:
    """Measured on the given dev data, or else what the manifest says."""
    candidate, bundle = model.candidate, bundles[model.candidate.bundle]
    none: Score = {
        "score": None, "score_low": None, "score_high": None, "score_name": None, "score_source": None,
    }  # fmt: skip
    task = bundle.manifest.task
    if candidate.is_peer or task is None:
        return none
    if data is None:
        score = _known_score(candidate, bundle.manifest)
        named: Score = {**none, "score": score, "score_name": task.metrics[0], "score_source": "manifest"}
        return none if score is None else named
    label = f"{candidate.bundle}, {candidate.backend}, {candidate.precision}"
    logger.info("scoring %s", label)
    with Predictor(
        bundle, candidate.backend, candidate.precision, device=grid.device, provider=grid.provider
    ) as predictor:
        splits = [answered(predictor, examples) for examples in data.dev.values()]
    found = mean_score(task, splits)
    return {
        "score": found.score, "score_low": found.low, "score_high": found.high, "score_name": task.metrics[0],
        "score_source": "measured",
    }  # fmt: skip


def _known_score(candidate: Candidate, manifest: Manifest) -> float | None:
    files = _files_of(candidate.backend, manifest)
    checks = [item.check for item in files if item.precision == candidate.precision]
    held = [check.score_after for check in checks if check is not None and check.score_after is not None]
    return held[0] if held else (manifest.score if candidate.precision == "fp32" else None)


def measured(
    grid: BenchGrid,
    rounds: RoundSettings,
    found: Sequence[Model],
    bundles: Bundles,
    scores: Mapping[Candidate, Score],
) -> Iterator[Measured]:
    """One row per model, threads, batch and length, the times of all of them taken in turn."""
    opened: dict[Key, Backend] = {}
    for threads in thread_counts(grid):
        for number, model in enumerate(Progress(found, desc=f"open, {threads} thread(s)", unit="model", leave=False)):
            opened[threads, number] = open_candidate(
                model.candidate, setup_of(grid, threads), bundles[model.candidate.bundle]
            )
    for length in grid.length:
        for batch in grid.batch:
            runs: dict[Key, Callable[[], object]] = {}
            for key, backend in opened.items():
                pad = bundles[found[key[1]].candidate.bundle].manifest.pad_token_id
                runs[key] = backend.bind(*tokens(batch, length, pad, rounds.seed))
            times = system_timing.in_turn(
                runs, rounds.repeats, rounds.warmup, rounds.seconds, settler(opened, runs), f"batch {batch} x {length}"
            )
            for (threads, number), milliseconds in times.items():
                model, backend = found[number], opened[threads, number]
                manifest = bundles[model.candidate.bundle].manifest
                yield {
                    "bundle": model.candidate.bundle,
                    "backend": model.candidate.backend,
                    "precision": model.candidate.precision,
                    "peer": model.candidate.is_peer,
                    "parameters": manifest.parameters,
                    "device": backend.device,
                    "provider": backend.provider,
                    "threads": threads,
                    "batch": batch,
                    "length": length,
                    **timing(milliseconds, batch),
                    "warmup": rounds.warmup,
                    "seed": rounds.seed,
                    **scores[model.candidate],
                    "model_mib": size_mib(model.candidate, manifest),
                    "peak_memory_mib": model.facts["peak_memory_mib"],
                    "open_seconds": model.facts["open_seconds"],
                }


def settler(opened: Mapping[Key, Backend], runs: Mapping[Key, Callable[[], object]]) -> Callable[[Key, Key], None]:
    """What goes before each timed run: an untimed one, and a pause until the threads of the one before sleep."""

    def settle(previous: Key, following: Key) -> None:
        if opened[previous].name in SPINNING and opened[following].name not in SPINNING:
            time.sleep(system_timing.SPIN_SECONDS)
        runs[following]()

    return settle


def size_mib(candidate: Candidate, manifest: Manifest) -> float | None:
    """The model's files on disk; of bf16, and of Paddle's fp16, the fp32 files that it is computed from."""
    if candidate.file:
        path = Path(candidate.file)
        files = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)  # OpenVINO's come in pairs
        return sum(each.stat().st_size for each in files) / 2**20
    if candidate.is_peer:
        return None
    held = {m.precision: m for m in _files_of(candidate.backend, manifest)}
    model = held.get(candidate.precision) or held.get("fp32")
    return None if model is None else manifest.bytes_of(model) / 2**20


def _files_of(backend: str, manifest: Manifest) -> list[ModelEntry]:
    """The manifest's models that a back end opens; of those fused for one provider, their portable forms."""
    return [item for item in manifest.models if item.format in REGISTRY[backend].formats and not item.fused]


def report(rows: Sequence[Row], skipped: Sequence[Skipped], unit: str | None = None) -> str:
    """The tables, and in words how they came about; unit as of `model_rows`."""
    first = rows[0]
    on = f"{first['processor']}, {first['cores']} core(s)" + (f", {first['gpu']}" if first["gpu"] else "")
    runs = min(row["runs"] for row in rows)
    how = (
        f"{on}. Median milliseconds of {runs} or more runs, made in turn; batch x tokens, no padding."
        f" In brackets: against {first['bundle']} in the same line."
        f" Last column: against {first['bundle']}, {first['backend']}, {first['precision']}."
    )
    memory = "Memory is the peak of a process that runs this one model" + (", on the host." if first["gpu"] else ".")
    models = model_rows(rows, unit)
    parts = [speed_table(rows), explained(models, MODEL_COLUMNS), f"{how} {memory}"]
    if skipped:
        parts.append("\n".join(skipped_lines(skipped)))
    return "\n\n".join(parts)
