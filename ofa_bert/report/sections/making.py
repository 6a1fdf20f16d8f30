"""How it was made: data, command, settings, versions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ofa_bert.files.fields import Fields
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.values import Cell, Section, Table, count
from ofa_bert.reporting import one_line, shown

_MOST_LABELS = 60
# The command of a run, by the word in its ofa_run.json.
_COMMANDS = {
    "finetune": "finetune",
    "supernet": "supernet",
    "exits": "supernet",
    "distil": "distil",
    "prune": "prune",
    "pretrain": "pretrain",
    "elastic pre-training": "pretrain",
}
# What runs record among their settings to know their inputs again.
_NO_OPTIONS = ("teacher_weights", "student_weights", "weights", "encoder_weights", "corpus_sha256")


def data_section(run: RunFiles) -> Section | None:
    """Rows, classes and token lengths of what it was trained and scored on."""
    if "data" not in run.results:
        return None
    data = run.results.inner("data")
    parts = data.inner("parts")
    rows: list[list[Cell]] = []
    for name in parts.value:
        part = parts.inner(name)
        rows.append([name, count(part.whole("rows", 0)), count(part.whole("examples", 0)), part.text("holds")])
    found: list[Table | str] = [Table(["part", "rows", "examples", "what they hold"], rows)]
    labels = data.texts("labels", default=())
    if labels:
        more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
        found.append(f"{len(labels)} labels: {', '.join(labels[:_MOST_LABELS])}{more}.")
    if "lengths" in data:
        found.append(_lengths(data.inner("lengths")))
    return Section("Data", found)


def _lengths(lengths: Fields) -> str:
    p50, p95, longest, cut, limit, rows = (
        lengths.whole(name, 0) for name in ("p50", "p95", "longest", "cut", "limit", "rows")
    )
    return (
        f"Tokens of a training text: half have up to {p50}, 95 % up to {p95}, the longest {longest}; texts are cut at"
        f" {limit}, which {cut:,} of {rows:,} rows exceed."
    )


def versions_section(run: RunFiles) -> Section | None:
    rows: list[list[Cell]] = [[name, _text(version)] for name, version in run.versions.items()]
    return Section("Versions", [Table(["package", "version"], rows)]) if rows else None


def settings_section(run: RunFiles) -> Section | None:
    rows: list[list[Cell]] = [[name, _text(value)] for name, value in run.config.items()]
    return Section("Settings", [Table(["option", "value"], rows)]) if rows else None


def commands(run: RunFiles) -> tuple[str, ...]:
    """As they were given, or what the recorded settings amount to."""
    if run.commands:
        return run.commands
    name = _COMMANDS.get(run.told.text("what", default=""))
    words = arguments({name: value for name, value in run.config.items() if name not in _NO_OPTIONS})
    return (shlex.join(["ofa-bert", name, *words]),) if name and words else ()


def arguments(config: Mapping[str, object]) -> list[str]:
    """The words of a command line that says these settings."""
    words: list[str] = []
    for name, value in config.items():
        if value is None or value is False or value == []:  # but 0 is said
            continue
        words.append(f"--{name}")
        if value is not True:
            items: Sequence[object] = value if isinstance(value, list) else [value]
            words += [str(item) for item in items]
    return words


def _text(value: object) -> str:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        return one_line(" ".join(str(item) for item in value))
    return "" if value is None else shown(value)
