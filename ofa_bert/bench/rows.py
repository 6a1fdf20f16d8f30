"""What a benchmark measured, as rows: speed-ups, JSON and CSV, and the tables that are printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.reporting import table


class Score(TypedDict):
    """A model's score on dev, which metric that is, and whether it was measured or the manifest says it.

    score_low, score_high: where a measured one may really lie (95 %).
    """

    score: float | None
    score_low: float | None
    score_high: float | None
    score_name: str | None
    score_source: str | None


class Timing(TypedDict):
    p50_ms: float
    p95_ms: float
    samples_per_second: float
    runs: int


class About(TypedDict):
    """What measured: the same in every row."""

    processor: str
    cores: int
    gpu: str | None
    versions: str
    command: str


class Measured(Timing, Score):
    """A model at one setting."""

    bundle: str
    backend: str
    precision: str
    peer: bool
    parameters: int | None
    device: str
    provider: str
    threads: int
    batch: int
    length: int
    warmup: int
    seed: int
    model_mib: float | None
    peak_memory_mib: float | None
    open_seconds: float


class Row(Measured, About):
    """A line of rows.json and rows.csv; the last three compare it with others, once these are there."""

    speedup_to_full: float | None
    speedup: float | None
    score_to_full: float | None


class Skipped(TypedDict):
    """What was not measured, and why."""

    bundle: str
    path: str
    backend: str
    precision: str
    reason: str


Line = dict[str, str | int]  # of a table that is printed

JSON_FILE, CSV_FILE, TABLE_FILE = "rows.json", "rows.csv", "table.md"


class Setting(NamedTuple):
    """What two measurements must share for their ratio to mean something."""

    threads: int
    batch: int
    length: int


class Name(NamedTuple):
    """What tells the models of a benchmark apart."""

    bundle: str
    backend: str
    precision: str


def in_full(measured: Measured, about: About) -> Row:
    """A row that has not been compared yet."""
    return {**measured, **about, "speedup_to_full": None, "speedup": None, "score_to_full": None}


def setting_of(row: Row) -> Setting:
    return Setting(row["threads"], row["batch"], row["length"])


def name_of(row: Row) -> Name:
    return Name(row["bundle"], row["backend"], row["precision"])


def timing(milliseconds: NDArray[np.float64], batch: int) -> Timing:
    return {
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
        "samples_per_second": float(batch * 1e3 * len(milliseconds) / milliseconds.sum()),
        "runs": len(milliseconds),
    }


def add_speedups(rows: Sequence[Row]) -> None:
    """Give every row its two ratios of median times, both at the same threads, batch and length.

    speedup_to_full: against the first row's bundle in the same back end and precision; None if that did not run.
    speedup: against the first row's bundle, back end and precision.
    """
    reference = name_of(rows[0])
    median = {(name_of(row), setting_of(row)): row["p50_ms"] for row in rows}

    def ratio(row: Row, model: Name) -> float | None:
        against = median.get((model, setting_of(row)))
        return None if against is None else against / row["p50_ms"]

    for row in rows:
        row["speedup_to_full"] = ratio(row, name_of(row)._replace(bundle=reference.bundle))
        row["speedup"] = ratio(row, reference)


def write_rows(directory: Path, rows: Sequence[Row], skipped: Sequence[Skipped]) -> None:
    """rows.json, with what was left out and why, and the same rows as rows.csv."""
    text = json.dumps({"rows": list(rows), "skipped": list(skipped)}, ensure_ascii=False, indent=1)
    write_text_atomic(directory / JSON_FILE, text + "\n")
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(directory / CSV_FILE, lines.getvalue())


def speed_table(rows: Sequence[Row]) -> str:
    """Milliseconds of the full model and of each other bundle, and how much faster that is, one line per setting."""
    bundles = list(dict.fromkeys(row["bundle"] for row in rows))
    groups: dict[tuple[Setting, str, str], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: (row["length"], row["threads"], row["batch"])):  # stable: models in order
        groups.setdefault((setting_of(row), row["backend"], row["precision"]), {})[row["bundle"]] = row
    lines: list[Line] = []
    for ((threads, batch, length), backend, precision), found in groups.items():
        line: Line = {"batch": f"{batch} x {length}", "threads": threads, "back end": backend, "precision": precision}
        for name in bundles:
            line[name if name != bundles[0] else f"{name} ms"] = _cell(found.get(name), name != bundles[0])
        lines.append(line)
    return table(lines)


def milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _cell(row: Row | None, ratio: bool) -> str:
    if row is None:
        return "–"
    text = milliseconds(row["p50_ms"])
    speedup = row["speedup_to_full"]
    return f"{text} ({speedup:.2f}x)" if ratio and speedup else text


# What the columns of `model_rows` mean, for `reporting.legend`.
MODEL_COLUMNS = {
    "file MiB": "of the model on disk",
    "memory MiB": "most that a process took which ran this one model",
    "95 %": "where the score may really lie, each by itself; only of scores that were measured here",
    "to full fp32": "score less that of the first bundle in FP32",
    "speed-up, batch ": "times as fast as the first model of this table at the largest setting",
}


def model_rows(rows: Sequence[Row], unit: str | None = None) -> list[Line]:
    """Size, memory and score of each model, and its speed-up over the first one at the largest setting, for a table.

    unit: what a row of a batch is; where it is given, how many of them in a second are said too.
    """
    largest = max(map(setting_of, rows))
    sure = any(row["score_low"] is not None for row in rows)
    lines: list[Line] = []
    for row in rows:
        if setting_of(row) != largest:
            continue
        lines.append(
            {
                "model": row["bundle"],
                "back end": row["backend"],
                "precision": row["precision"],
                "file MiB": _number(row["model_mib"], ".1f"),
                "memory MiB": _number(row["peak_memory_mib"], ".0f"),
                row["score_name"] or "score": _number(row["score"], ".4f"),
                **({"95 %": _between(row)} if sure else {}),
                "to full fp32": _number(row["score_to_full"], "+.4f"),
                **({f"{unit}/s": f"{row['samples_per_second']:.0f}"} if unit else {}),
                f"speed-up, batch {largest.batch}": f"{row['speedup']:.2f}x",
            }
        )
    return _same_keys(lines)


def _between(row: Row) -> str:
    return "–" if row["score_low"] is None else f"{row['score_low']:.4f} to {row['score_high']:.4f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _same_keys(lines: Sequence[Line]) -> list[Line]:
    """A peer has no score, and so no name for one; its column is the others'."""
    named = next((line for line in lines if "score" not in line), lines[0])
    keys = list(named)
    return [dict(zip(keys, line.values())) for line in lines]


def add_score_differences(rows: Sequence[Row]) -> None:
    """score_to_full: against the first row's bundle in fp32, whichever back end has its score."""
    full = [row["score"] for row in rows if row["bundle"] == rows[0]["bundle"] and row["precision"] == "fp32"]
    known = [score for score in full if score is not None]
    for row in rows:
        row["score_to_full"] = row["score"] - known[0] if known and row["score"] is not None else None


def skipped_lines(skipped: Iterable[Skipped]) -> list[str]:
    """Each reason once, with all that it keeps from running."""
    reasons: dict[str, list[Skipped]] = {}
    for item in skipped:
        reasons.setdefault(item["reason"].replace(item["path"], "a bundle"), []).append(item)
    lines = []
    for same in reasons.values():
        backends = ", ".join(dict.fromkeys(item["backend"] for item in same))
        precisions = ", ".join(dict.fromkeys(item["precision"] for item in same))
        bundles = ", ".join(dict.fromkeys(item["bundle"] for item in same))
        lines.append(f"not measured: {backends} in {precisions} ({bundles}): {same[0]['reason']}")
    return lines
