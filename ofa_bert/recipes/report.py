"""What the recipe measured: table.md, rows.json, waterfall.png, and what 100 million texts cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.recipes.timing import Row, TimingPlan
from ofa_bert.reporting import millions, pyplot, table
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Task

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
    text = "\n\n".join([table(printable(rows, task)), cost_line(rows), _how(plan, backend, rows, about)])
    write_json_atomic(output / JSON_FILE, found)
    write_text_atomic(output / TABLE_FILE, text + "\n")
    waterfall(rows, task, output / PLOT)
    return f"{text}\n\n{output}: {TABLE_FILE}, {JSON_FILE}, {PLOT}"


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


def waterfall(rows: Sequence[Row], task: Task, path: Path) -> None:
    """Each stage's speed-up on top of what the stages before it reached, on a log scale; scores beside it."""
    plt = pyplot()
    from matplotlib import ticker

    places = range(len(rows))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1.4 + 0.45 * len(rows)), layout="constrained", sharey=True, width_ratios=(3, 1)
    )
    before = 1.0
    for place, row in zip(places, rows):
        now = row["speedup_to_padded"]
        gain = row["speedup_to_previous"]
        low, high = sorted((before, now))
        left.barh(place, max(high - low, low * 0.01), left=low, color="C0" if now >= before else "C3")
        text = f" {now:.3g}x" + (f"  (x {gain:.2f})" if gain is not None else "")
        left.annotate(text, (high, place), va="center", fontsize=8)
        before = now
    left.set(xscale="log", xlabel="throughput, times the padded baseline (in brackets: times the row above)")
    left.set_xlim(0.9, max(row["speedup_to_padded"] for row in rows) * 3)
    left.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    left.set_yticks(list(places), [row["stage"] for row in rows])
    left.invert_yaxis()
    right.plot([row["score"] for row in rows], list(places), "o-", color="C1")
    for place, row in zip(places, rows):
        right.annotate(f" {row['score']:.4f}", (row["score"], place), fontsize=8, va="bottom")
    right.set(xlabel=f"{task.name} dev {task.metrics[0]}")
    right.margins(x=0.35)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
