"""What the recipe measured: table.md, rows.json, waterfall.png, and what 100 million texts cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert import drawing
from ofa_bert.drawing import look, save
from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.recipes.timing import Row, TimingPlan
from ofa_bert.reporting import explained, millions, pyplot
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE_FILE, JSON_FILE, PLOT = "table.md", "rows.json", "waterfall.png"
TEXTS = 100_000_000


def write_report(
    rows: Sequence[Row],
    task: Task,
    output: Path,
    plan: TimingPlan,
    backend: str,
    price_per_hour: float | None,
    settings: Mapping[str, object],
) -> str:
    """Write all three files; returns the table and the text around it. price_per_hour: USD of the machine.

    settings: what rows.json says of how it came about.
    """
    about = machine(plan.device)
    for row in rows:
        row["hours_per_100m_texts"] = TEXTS / row["texts_per_second"] / 3600
        if price_per_hour:
            row["usd_per_100m_texts"] = row["hours_per_100m_texts"] * price_per_hour
    found = {
        "rows": list(rows),
        "task": task.to_json(),
        **about,
        "versions": versions(),
        **settings,
    }
    text = "\n\n".join([explained(printable(rows, task), COLUMNS), cost_line(rows), _how(plan, backend, rows, about)])
    write_json_atomic(output / JSON_FILE, found)
    write_text_atomic(output / TABLE_FILE, text + "\n")
    save(waterfall_figure(rows, task), output / PLOT)
    return f"{text}\n\n{output}: {TABLE_FILE}, {JSON_FILE}, {PLOT}"


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "file MiB": "of the model on disk",
    "ms p50": "milliseconds of one text alone, the median",
    "ms p95": "the same, of all but the slowest twentieth",
    "texts/s": "throughput in batches",
    "to previous": "throughput, times that of the row above",
    "to padded": "times that of the padded baseline",
    "to dynamic length": "times that of the baseline with batches as long as their texts",
}


def printable(rows: Sequence[Row], task: Task) -> list[dict[str, str]]:
    return [
        {
            "stage": row["stage"],
            task.metrics[0]: f"{row['score']:.4f}",
            "parameters": millions(row["parameters"]),
            "file MiB": f"{row['file_mib']:.1f}",
            "ms p50": _short(row["latency_p50_ms"]),
            "ms p95": _short(row["latency_p95_ms"]),
            "texts/s": _short(row["texts_per_second"]),
            "to previous": _ratio(row["speedup_to_previous"]),
            "to padded": _ratio(row["speedup_to_padded"]),
            "to dynamic length": _ratio(row["speedup_to_dynamic"]),
        }
        for row in rows
    ]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def cost_line(rows: Sequence[Row]) -> str:
    """Hours of one machine like this, and USD where a price is known, for 100 million texts."""
    parts = []
    for row in (rows[0], rows[1], rows[-1]):
        dollars = f" ({row['usd_per_100m_texts']:,.2f} USD)" if "usd_per_100m_texts" in row else ""
        parts.append(f"{row['stage']} {row['hours_per_100m_texts']:,.1f} hours{dollars}")
    return "100 million texts on this machine: " + ", ".join(parts) + "."


def _how(plan: TimingPlan, backend: str, rows: Sequence[Row], about: Mapping[str, object]) -> str:
    on = f"{about['processor']}, {about['cores']} core(s)" + (f", {about['gpu']}" if about["gpu"] else "")
    last = rows[-1]
    return (
        f"{on}. {last['texts_timed']} dev texts (of the padded row {rows[0]['texts_timed']}), {last['rounds']} rounds"
        f" with all rows in turn, medians. Throughput in batches of {last['batch_size']} texts of about one length,"
        f" latency one text at a time; padded: to {plan.max_seq_length} tokens. Speed-ups are of throughput. The"
        " first two rows are PaddleNLP's model in Paddle's eager mode with this package's settings of MKL and malloc,"
        f" FP32, on all cores; exported models run in {backend}."
    )


def waterfall_figure(rows: Sequence[Row], task: Task) -> Figure:
    """Each stage's speed-up on top of what the stages before it reached, on a log scale; scores beside it."""
    figure, (left, right) = pyplot().subplots(
        1, 2, figsize=(11.5, 2.2 + 0.45 * len(rows)), layout="constrained", sharey=True, width_ratios=(3, 1)
    )
    _gains(left, rows)
    _scores(right, rows, task)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=drawing.handles([left]), loc="outside upper center", ncols=2, fontsize=8)
    last = rows[-1]
    how = f"{len(rows)} stages, {last['texts_timed']} dev texts, {last['rounds']} rounds with all in turn, medians."
    sure = " Bars of scores: 95 %, each by itself." if _sure(rows) else ""
    drawing.note(figure, [how + sure])
    return figure


def _gains(axis: Axes, rows: Sequence[Row]) -> None:
    from matplotlib import ticker

    before = 1.0
    for place, row in enumerate(rows):
        now, gain = row["speedup_to_padded"], row["speedup_to_previous"]
        low, high = sorted((before, now))
        own, name = (look(0), "faster") if now >= before else (look(4), "slower")
        width = max(high - low, low * 0.01)
        axis.barh(place, width, left=low, color=own.color, hatch=own.hatch, edgecolor="white", linewidth=0, label=name)
        text = f"{now:.3g}x" + (f"  (x {gain:.2f})" if gain is not None else "")
        axis.annotate(text, (high, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        before = now
    axis.set(xscale="log", xlabel="throughput, times the padded baseline (in brackets: times the row above)")
    axis.set_xlim(0.9, max(row["speedup_to_padded"] for row in rows) * 3)
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axis.set_yticks(range(len(rows)), [row["stage"] for row in rows])
    axis.invert_yaxis()


def _scores(axis: Axes, rows: Sequence[Row], task: Task) -> None:
    places, own = range(len(rows)), look(1)
    scores = [row["score"] for row in rows]
    if _sure(rows):
        bars = list(zip(*(drawing.spread(row["score_low"], row["score"], row["score_high"]) for row in rows)))
        axis.errorbar(scores, places, xerr=bars, fmt="none", ecolor=own.color, elinewidth=0.8, capsize=2, alpha=0.7)
    axis.plot(scores, places, "o-", color=own.color)
    for place, score in zip(places, scores):
        axis.annotate(
            f"{score:.4f}", (score, place), xytext=(0, 5), textcoords="offset points", fontsize=8, ha="center"
        )
    axis.set(xlabel=f"{task.name} dev {task.metrics[0]}")
    axis.margins(x=0.25)


def _sure(rows: Sequence[Row]) -> bool:
    return all("score_low" in row for row in rows)
