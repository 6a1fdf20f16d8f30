"""What the commands leave behind, read back; what is missing or not whole is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_object
from seed_page import figures

Scores = dict[str, float]  # by the keys of figures.METRICS


@dataclass(frozen=True)
class Trained:
    """Scores on dev, and how long the training took. parameters: of the full model and of the sub-model."""

    scores: Scores
    seconds: float
    compressed: Scores = field(default_factory=dict)
    parameters: tuple[int, int] | None = None


def finetuned(directory: Path, task: str) -> Trained | None:
    """The best step's scores; None until the run has ended."""
    try:
        found = _results(directory, task)
        best = found.inner("best")
        if not (directory / "best" / "ofa_config.json").is_file():
            return None
        return Trained(_scores(best.inner("scores"), task), found.number("seconds", least=0))
    except UserError:
        return None


def supernet(directory: Path, task: str) -> Trained | None:
    """The teacher's scores and, after the last step, those of the sub-model; None until the run has ended."""
    try:
        found = _results(directory, task)
        rows = {row.text("name"): row for row in found.each("last")}
        if figures.SUB_MODEL not in rows or not (directory / "last" / "ofa_config.json").is_file():
            return None
        mine = rows[figures.SUB_MODEL]
        full = next(iter(rows.values()))
        return Trained(
            _scores(found.inner("teacher"), task),
            found.number("seconds", least=0),
            _scores(mine.inner("scores"), task),
            (full.whole("parameters"), mine.whole("parameters")),
        )
    except UserError:
        return None


def _results(directory: Path, task: str) -> Fields:
    path = directory / "results.json"
    if not path.is_file():
        raise UserError(f"{path}: is not there")
    found = Fields(read_object(path), str(path))
    found.text("task", (task,))
    return found


def _scores(values: Fields, task: str) -> Scores:
    return {metric.key: values.number(metric.key) for metric in figures.METRICS[task]}


def is_bundle(directory: Path) -> bool:
    """Whether every file is there as it was written."""
    try:
        return bool(read_manifest(directory).models)
    except UserError:
        return False


@dataclass(frozen=True)
class Latencies:
    """Median milliseconds by bundle and batch size, what measured them, and why what is missing was not measured."""

    milliseconds: Mapping[tuple[str, int], float]
    hardware: str = ""
    reason: str = ""

    def whole(self, bundles: Sequence[str]) -> bool:
        return all((name, batch) in self.milliseconds for name in bundles for batch in figures.BATCHES)


def latencies(directory: Path) -> Latencies:
    """Of a directory that bench wrote; empty when it wrote none."""
    path = directory / "rows.json"
    try:
        if not path.is_file():
            return Latencies({})
        found = Fields(read_object(path), str(path))
        rows = found.each("rows")
        skipped = [row.text("reason") for row in found.each("skipped")]
        return Latencies(
            {(row.text("bundle"), row.whole("batch")): row.number("p50_ms") for row in rows},
            _hardware(rows[0]) if rows else "",
            skipped[0] if skipped else "",
        )
    except UserError:
        return Latencies({})


def _hardware(row: Fields) -> str:
    gpu = row.value.get("gpu")
    return str(gpu) if gpu else f"{row.text('processor')}, {row.whole('cores')} core(s)"
