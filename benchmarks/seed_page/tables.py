"""The two tables, ours beside the page's, from whatever is finished; and the same as rows of JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ofa_bert import reporting
from seed_page import figures, plan, results

MISSING, UNPUBLISHED = "not run yet", "not published"


@dataclass(frozen=True)
class ScoreRow:
    """One metric of one task: ours of every seed that is finished, and the page's."""

    model: str
    task: str
    metric: str
    finetuned: tuple[float, ...]
    compressed: tuple[float, ...]
    published: figures.Published | None


@dataclass(frozen=True)
class LatencyRow:
    """Median milliseconds of both models at one setting; `note` says why there are none, or what FP16 ran in."""

    model: str
    device: str
    batch: int
    precision: str
    full: float | None
    compressed: float | None
    note: str
    published: figures.Latency | None


def score_rows(choice: plan.Choice, output: Path) -> list[ScoreRow]:
    rows = []
    for model in choice.models:
        for task in choice.tasks:
            seeds = [plan.Run(model, task, seed).directory(output) for seed in choice.seeds]
            first = [found for at in seeds if (found := results.finetuned(at / "finetune", task))]
            second = [found for at in seeds if (found := results.supernet(at / "supernet", task))]
            for metric in figures.METRICS[task]:
                rows.append(
                    ScoreRow(
                        model, figures.DIRECTORIES[task], metric.title,
                        tuple(found.scores[metric.key] for found in first),
                        tuple(found.compressed[metric.key] for found in second),
                        figures.score(model, task, metric),
                    )
                )  # fmt: skip
    return rows


def latency_rows(choice: plan.Choice, output: Path, reasons: dict[Path, str]) -> list[LatencyRow]:
    """reasons: why a directory's benchmark failed, for those that did."""
    rows = []
    for model in choice.models:
        places = {name: plan.bench_directory(output, model, name) for name in plan.BENCHES}
        found = {name: results.latencies(place) for name, place in places.items()}
        why = {name: reasons.get(place, "") or found[name].reason for name, place in places.items()}
        for batch in figures.BATCHES:
            if choice.gpu_latency:
                rows.append(_latency_row(model, batch, figures.FP32, found[plan.GPU], why[plan.GPU], True))
                rows.append(_half_precision(model, batch, found, why))
            rows.append(_latency_row(model, batch, figures.FP32, found[plan.CPU], why[plan.CPU], False))
    return rows


def _half_precision(model: str, batch: int, found: dict[str, results.Latencies], why: dict[str, str]) -> LatencyRow:
    both = plan.FULL, plan.COMPRESSED
    if found[plan.TENSORRT].whole(both):
        return _latency_row(model, batch, figures.FP16, found[plan.TENSORRT], "TensorRT", True)
    note = why[plan.TENSORRT] and f"TensorRT: {why[plan.TENSORRT]}"
    if found[plan.CUDA_FP16].whole(both):
        note = f"ONNX Runtime's CUDA provider, not TensorRT ({note})"
    return _latency_row(model, batch, figures.FP16, found[plan.CUDA_FP16], note, True)


def _latency_row(
    model: str, batch: int, precision: str, found: results.Latencies, note: str, on_gpu: bool
) -> LatencyRow:
    full, compressed = (found.milliseconds.get((name, batch)) for name in (plan.FULL, plan.COMPRESSED))
    device = found.hardware or ("GPU" if on_gpu else "CPU")
    published = figures.latency(model, on_gpu, found.hardware, batch, precision)
    return LatencyRow(model, device, batch, precision, full, compressed, note, published)


def score_table(rows: Sequence[ScoreRow]) -> str:
    lines = []
    for row in rows:
        published = row.published or (None, None)
        lines.append(
            {
                "model": row.model,
                "task": row.task,
                "metric": row.metric,
                **_beside("finetuned", row.finetuned, published[0]),
                **_beside("width 2/3", row.compressed, published[1]),
            }
        )
    return reporting.table(lines)


def _beside(name: str, ours: Sequence[float], published: float | None) -> dict[str, str]:
    difference = f"{statistics.fmean(ours) - published:+.4f}" if ours and published is not None else ""
    return {
        f"{name}: ours": _mean(ours),
        f"{name}: published": UNPUBLISHED if published is None else f"{published:g}",
        f"{name}: difference": difference,
    }


def _mean(values: Sequence[float]) -> str:
    """Of several seeds also the standard deviation and their number."""
    if not values:
        return MISSING
    text = f"{statistics.fmean(values):.4f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.4f} ({len(values)} seeds)"


def latency_table(rows: Sequence[LatencyRow]) -> str:
    lines = []
    for row in rows:
        ours, page = _speedup(row.full, row.compressed), row.published
        published = None if page is None else page.full / page.compressed
        lines.append(
            {
                "model": row.model,
                "on": row.device,
                "batch": str(row.batch),
                "precision": row.precision.upper(),
                "full ms": _milliseconds(row.full),
                "width 2/3 ms": _milliseconds(row.compressed),
                "faster": "" if ours is None else f"{ours:.2f}x",
                "published on": UNPUBLISHED if page is None else page.device,
                "published ms": "" if page is None else f"{page.full:.2f} / {page.compressed:.2f}",
                "published faster": "" if published is None else f"{published:.2f}x",
                "difference": "" if ours is None or published is None else f"{ours - published:+.2f}x",
            }
        )
    return reporting.table(lines)


def _speedup(full: float | None, compressed: float | None) -> float | None:
    return full / compressed if full is not None and compressed else None


def _milliseconds(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def notes(rows: Iterable[LatencyRow]) -> list[str]:
    """What FP16 ran in and what was not measured, each said once."""
    said = []
    for row in rows:
        if row.note and (row.full is None or row.precision == figures.FP16):
            where = "GPU" if row.device == "GPU" else row.device
            missing = "not measured: " if row.full is None or row.compressed is None else ""
            said.append(f"{row.model}, {where}, {row.precision.upper()}: {missing}{row.note}")
    return list(dict.fromkeys(said))


def sizes(choice: plan.Choice, output: Path) -> list[str]:
    """The parameters of every model and of its sub-model, as its first finished supernet counts them."""
    lines = []
    for run in plan.runs(choice):
        found = results.supernet(run.directory(output) / "supernet", run.task)
        if found and found.parameters and not any(line.startswith(f"{run.model}:") for line in lines):
            full, compressed = found.parameters
            share = f"{100 * (compressed / full - 1):+.0f} %"
            line = f"{run.model}: {reporting.millions(full)} parameters to {reporting.millions(compressed)} ({share})"
            published = run.model.lower() == "bert-base-uncased"
            lines.append(f"{line}; published {figures.PARAMETERS}" if published else line)
    return lines


def as_json(rows: Iterable[ScoreRow | LatencyRow]) -> list[dict[str, object]]:
    """`published` has the field names of figures.Published and figures.Latency."""
    return [{**asdict(row), "published": row.published and row.published._asdict()} for row in rows]
