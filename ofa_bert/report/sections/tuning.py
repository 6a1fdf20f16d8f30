"""The runs of a hyper-parameter search."""

from __future__ import annotations

from ofa_bert.report import charts
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.values import Cell, Number, Section, Table, count, measure, score


def section(run: RunFiles) -> Section | None:
    if "tuned_on" not in run.results:
        return None
    results = run.results
    rows, best = results.each("trials"), results.inner("best").whole("trial")
    done = sorted(
        (row for row in rows if row.text("state") == "complete"), key=lambda row: -row.number("score", default=0.0)
    )
    cells: list[list[Cell]] = []
    for row in [*done, *(row for row in rows if row not in done)]:
        value = row.number("score", default=None) if row in done else None
        rate = row.number("learning_rate")
        cells.append(
            [
                str(row.whole("trial")), None if value is None else score(value), count(row.whole("steps")),
                Number(rate, f"{rate:.2e}"), count(row.whole("batch_size")), measure(row.number("weight_decay")),
                measure(row.number("warmup_proportion")), str(row.whole("seed")),
            ]
        )  # fmt: skip
    columns = ["run", "score", "steps", "learning rate", "batch", "weight decay", "warm-up", "seed"]
    held = results.whole("tuned_on")
    note = f"Scores on {held:,} held-out training examples; a run without one was stopped, being behind the others."
    places = [charts.Named(row.number("learning_rate"), row.number("score")) for row in done if "score" in row]
    chosen = [place for place, row in enumerate(done) if row.whole("trial") == best]
    parts = [Table(columns, cells, note, chosen)]
    if not places:
        return Section("Runs", parts)
    drawn = charts.points("trials", "Score by learning rate", {"runs": places}, ("learning rate", run.metric), far=True)
    return Section("Runs", [drawn, *parts])
