"""Early exits: what each is worth when it answers everything, and what a threshold saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ofa_bert.files.fields import Fields
from ofa_bert.models.record import is_number
from ofa_bert.report import charts
from ofa_bert.report.run_files import EXITS, EXITS_PICTURE, RunFiles
from ofa_bert.report.values import Cell, Number, Part, Picture, Section, Table, measure, score, share, times

_MOST_LINES = 8


def section(run: RunFiles) -> Section | None:
    """Of a training: the score on dev by the layers that were run."""
    best = run.results.value.get("best")
    scores = best.get("scores") if isinstance(best, Mapping) else None
    if not isinstance(scores, Mapping) or not isinstance(scores.get("exits"), list):
        return None
    rows = Fields(scores, f"{run.directory}: best").each("exits")
    found = {row.text("name"): _by_layers(row) for row in rows}
    layers = sorted({count for each in found.values() for count in each})
    cells: list[list[Cell]] = [
        [name, *(score(each[count]) if count in each else None for count in layers)] for name, each in found.items()
    ]
    columns = ["sub-model", *(f"{count} layers" for count in layers)]
    table = Table(columns, cells, "On dev, where every text leaves there.")
    shown = {name: sorted(each.items()) for name, each in list(found.items())[:_MOST_LINES]}
    drawn = charts.lines("exits", "Score of each exit", shown, ("layers run", run.metric))
    return Section("Exits", [table, drawn])


def _by_layers(row: Fields) -> dict[float, float]:
    return {each.whole("layers", 0): each.number("score") for each in row.each("exits")}


def threshold_section(run: RunFiles) -> Section | None:
    """Of a choice: every threshold that was tried on the held-out part, and dev with the chosen one."""
    found = run.file(EXITS)
    if found is None:
        return None
    held, chosen = found.inner("held_out"), found.inner("chosen")
    threshold = chosen.number("threshold", default=None)
    sweeps = {mode: held.each(mode) for mode in ("threshold", "predicted") if isinstance(held.value.get(mode), list)}
    parts: list[Part] = [
        Picture(EXITS_PICTURE, "Score by layers and by time"),
        f"{found.text('name')}: {chosen.text('criterion', default='')} threshold {threshold}, chosen on"
        f" {held.whole('examples')} held-out training examples.",
    ]
    parts += [_on_dev(found.inner("dev")), *(_sweep(mode, rows, threshold) for mode, rows in sweeps.items())]
    return Section("Threshold", parts)


def _on_dev(dev: Fields) -> Table:
    rows: list[list[Cell]] = []
    names = [name for name, value in dev.mapping("full").items() if is_number(value)]
    for name, title in (("full", "without exits"), ("exits", "with exits")):
        values = dev.mapping(name)
        rows.append([title, *(_number(values.get(each)) for each in names)])
    return Table(["on dev", *names], rows)


def _number(value: object) -> Cell:
    return Number(value, f"{value:.4f}") if is_number(value) else None


def _sweep(mode: str, rows: Sequence[Fields], threshold: float | None) -> Table:
    cells: list[list[Cell]] = []
    marked = [place for place, row in enumerate(rows) if row.number("threshold", default=None) == threshold]
    for row in rows:
        limit, layers = row.number("threshold", default=None), row.number("mean_layers", default=None)
        saved, fast = row.number("saving", default=None), row.number("speedup", default=None)
        cells.append(
            [
                None if limit is None else measure(limit), score(row.number("score")),
                None if layers is None else measure(layers), None if saved is None else share(saved), times(fast),
            ]
        )  # fmt: skip
    columns = ["threshold", "score", "mean layers", "layers saved", "speed-up"]
    return Table(columns, cells, f"Mode {mode}, on the held-out part.", marked)
