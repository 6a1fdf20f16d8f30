"""What each stage of the FastFormers chain costs and brings."""

from __future__ import annotations

from ofa_bert.files.fields import Fields
from ofa_bert.report import charts
from ofa_bert.report.run_files import ROWS, RunFiles
from ofa_bert.report.values import Cell, Number, Section, Table, measure, score, times


def section(run: RunFiles) -> Section | None:
    found = run.file(ROWS)
    rows = found.each("rows") if found is not None else []
    if not rows or "stage" not in rows[0]:
        return None
    faster = {row.text("stage"): row.number("speedup_to_padded", 0) for row in rows}
    scores = [(place, row.number("score")) for place, row in enumerate(rows)]
    columns = ["stage", "score", "parameters", "file MiB", "ms p50", "ms p95", "texts/s", "to previous", "to padded"]
    axes = ("row of the table, from 0", "score")
    note = "Speed-ups are of throughput. table.md says how it was measured."
    return Section(
        "Stages",
        [
            charts.bars("stages", "Throughput", faster, "times the padded baseline", "{:.3g}×"),
            charts.lines("stage_scores", "Score of each stage", {"score": scores}, axes),
            Table(columns, [_row(row) for row in rows], note),
        ],
    )


def _row(row: Fields) -> list[Cell]:
    size = row.whole("parameters", default=None)
    return [
        row.text("stage"), score(row.number("score")), None if size is None else Number(size, f"{size / 1e6:.2f} M"),
        measure(row.number("file_mib")), measure(row.number("latency_p50_ms")), measure(row.number("latency_p95_ms")),
        measure(row.number("texts_per_second")), times(row.number("speedup_to_previous", default=None)),
        times(row.number("speedup_to_padded")),
    ]  # fmt: skip
