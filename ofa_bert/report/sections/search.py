"""What a search found: its front beside the uniform sub-models, its winner, or a family by speed."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.bundle.front import Front, OperatingPoint
from ofa_bert.files.fields import Fields
from ofa_bert.models.record import numbers
from ofa_bert.report import charts
from ofa_bert.report.run_files import FAMILY_PICTURE, FRONT, FRONT_PICTURE, RunFiles
from ofa_bert.report.values import Cell, Number, Part, Picture, Section, Table, count, difference, measure, score, times
from ofa_bert.search.costs import registry

_MOST_RECORDS = 20


def section(run: RunFiles) -> Section | None:
    if not (run.directory / FRONT).is_file():
        return None
    front = Front.load(run.directory / FRONT)
    cost = registry.cost(front.cost)
    parts: list[Part] = [Picture(FRONT_PICTURE, f"Score by {cost.words}")]
    if front.winner is not None:
        parts += [_winner(front.points[front.winner]), *_on_dev(run.results)]
    marked = [] if front.winner is None else [front.winner]
    costs = list(dict.fromkeys(name for point in front.points for name in point.costs))
    rows: list[list[Cell]] = [
        [
            point.name or f"{place}", count(point.sub_model.depth), point.precision, score(point.score),
            *(_cost(name, point.costs.get(name)) for name in costs),
        ]
        for place, point in enumerate(front.points)
    ]  # fmt: skip
    columns = ["point", "layers", "precision", front.metric, *(registry.cost(name).column for name in costs)]
    parts.append(Table(columns, rows, f"The front by {cost.words}, on held-out training examples.", marked))
    return Section("Front", parts)


def _cost(name: str, value: float | None) -> Cell:
    return None if value is None else Number(value, registry.cost(name).shown(value))


def _winner(point: OperatingPoint) -> Table:
    sub_model = point.sub_model
    rows: list[list[Cell]] = [
        [count(layer), count(heads), count(ffn)]
        for layer, heads, ffn in zip(sub_model.layers, sub_model.heads, sub_model.ffn)
    ]
    return Table(["layer", "heads", "FFN neurons"], rows, "The winner, layer by layer.")


def _on_dev(results: Fields) -> list[str]:
    dev = numbers(results.mapping("dev", default={}))
    said = [f"{name} {value:.4f}" for name, value in dev.items() if name != "score" or len(dev) == 1]
    lines = ["The winner on dev: " + ", ".join(said) + "."] if said else []
    latency = results.mapping("latency", default={})
    if latency.get("measured_ms") is not None:
        found = results.inner("latency")
        predicted, measured = found.number("predicted_ms"), found.number("measured_ms")
        lines.append(f"Latency: {predicted:.2f} ms predicted, {measured:.2f} ms measured.")
    return lines


def family_section(run: RunFiles) -> Section | None:
    """A sub-model for each speed that was asked for."""
    if "family" not in run.results:
        return None
    rows = run.results.each("family")
    full = run.results.inner("full")
    teacher = run.results.number("teacher", default=None)
    said = f"On {full.whole('examples'):,} held-out examples, where the full model scores {full.number('score'):.4f}"
    said += "." if teacher is None else f" and the teacher {teacher:.4f}."
    return Section("Family", [Picture(FAMILY_PICTURE, "Score by speed-up"), _family_table([*rows], said)])


def _family_table(rows: Sequence[Fields], note: str) -> Table:
    cells: list[list[Cell]] = []
    for row in rows:
        gap, dev = row.inner("difference"), numbers(row.mapping("dev"))
        interval = f"{gap.number('low'):+.4f} to {gap.number('high'):+.4f}"
        file_bytes = row.whole("file_bytes", 0)
        cells.append(
            [
                row.text("name"), times(row.number("speedup")), measure(row.number("ms")),
                Number(file_bytes, f"{file_bytes / 2**20:.1f}"), row.text("precision"), score(row.number("score")),
                difference(gap.number("score")), interval, score(dev["score"]) if "score" in dev else None,
            ]
        )  # fmt: skip
    columns = ["target", "speed-up", "ms", "file MiB", "precision", "held-out", "to the full model", "95 %", "dev"]
    return Table(columns, cells, note)


def fptas_section(run: RunFiles) -> Section | None:
    """Of Bort's walk: the candidates with the highest W."""
    if "epsilon" not in run.results:
        return None
    records = run.results.each("records")
    rows: list[list[Cell]] = [
        [
            row.text("name"), Number(row.number("p"), f"{row.number('p') / 1e6:.2f} M"), measure(row.number("i")),
            score(row.number("e")), score(row.number("W")),
        ]
        for row in records[:_MOST_RECORDS]
    ]  # fmt: skip
    said = f"The first {len(rows)} of {len(records)} evaluated, by W." if len(rows) < len(records) else "By W."
    drawn = charts.points(
        "candidates", "Error by parameters",
        {"candidates": [charts.Named(row.number("p") / 1e6, row.number("e")) for row in records]},
        ("parameters, million", "error e"),
    )  # fmt: skip
    return Section("Candidates", [drawn, Table(["candidate", "parameters", "i", "e", "W"], rows, said, [0])])
