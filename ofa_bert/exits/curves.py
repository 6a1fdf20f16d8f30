"""The picture of thresholds: what each scores and saves on the held-out part that chose one, and on dev beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ofa_bert import drawing
from ofa_bert.drawing import Named, look
from ofa_bert.exits.sweep import Row
from ofa_bert.numerics import undominated
from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Value = Callable[[Row], float]


@dataclass(frozen=True)
class Curves:
    """held_out, dev: mode -> a row for each threshold, that without early exits first. chosen: a held-out row.

    drop, speedup: what was asked for. examples, dev_examples: how many the rows are of.
    """

    title: str
    metric: str
    held_out: Mapping[str, Sequence[Row]]
    chosen: Row
    examples: int
    dev: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    dev_examples: int = 0
    drop: float | None = None
    speedup: float | None = None


def curves_figure(curves: Curves) -> Figure:
    """Score against mean layers, held out and on dev, and against measured time; a line for each mode."""
    sizes = list(curves.chosen["ms"])
    count = 1 + len(sizes)
    figure: Figure
    figure, axes = pyplot().subplots(
        1, count, figsize=(2.6 + 4.4 * count, 5), layout="constrained", sharey=True, squeeze=False
    )
    panels: list[tuple[str, Value]] = [("mean layers", _layers)]
    panels += [(f"ms per sample, batch {size}", partial(_ms, size)) for size in sizes]
    for axis, (name, value) in zip(axes[0], panels):
        _draw_held_out(axis, curves, value)
        axis.set(xlabel=name)
        axis.grid(alpha=0.3)
    _draw_dev(axes[0][0], curves)
    beyond = _draw_targets(list(axes[0]), curves, panels[-1][1])
    axes[0][0].set(ylabel=curves.metric)
    figure.legend(handles=drawing.handles(list(axes[0])), loc="outside right upper", fontsize=8)
    drawing.title(figure, curves.title)
    drawing.note(figure, [*_notes(curves), *beyond])
    for axis, (_, value) in zip(axes[0], panels):
        _name(axis, curves, value)
    return figure


def _draw_held_out(axis: Axes, curves: Curves, value: Value) -> None:
    for number, (mode, rows) in enumerate(curves.held_out.items()):
        own, ordered = look(number), sorted(rows, key=value)
        places = [value(row) for row in ordered], [row["score"] for row in ordered]
        axis.plot(
            *places, own.marker, linestyle=own.line, color=own.color, markersize=4, label=f"{mode}, held out", zorder=3
        )
        sure = [row for row in ordered if "low" in row]
        if sure:
            bars = list(zip(*(drawing.spread(row["low"], row["score"], row["high"]) for row in sure)))
            axis.errorbar(
                [value(row) for row in sure], [row["score"] for row in sure], yerr=bars, fmt="none", ecolor=own.color,
                elinewidth=0.7, capsize=2, alpha=0.5, zorder=2,
            )  # fmt: skip
    chosen = curves.chosen
    axis.plot(value(chosen), chosen["score"], "*", markersize=14, color="black", label="chosen", zorder=4)


def _draw_dev(axis: Axes, curves: Curves) -> None:
    """Open marks, dashed: of the same thresholds. How long they take is measured for the chosen one alone."""
    for number, (mode, rows) in enumerate(curves.dev.items()):
        own, ordered = look(number), sorted(rows, key=_layers)
        axis.plot(
            [_layers(row) for row in ordered], [row["score"] for row in ordered], own.marker, linestyle="--",
            color=own.color, mfc="white", markersize=5, linewidth=0.9, label=f"{mode}, dev", zorder=2,
        )  # fmt: skip


def _draw_targets(axes: Sequence[Axes], curves: Curves, last: Value) -> list[str]:
    """The score without early exits, the lowest that is allowed, the time that is; what no line can show, in words."""
    full = _full(curves)
    for axis in axes:
        axis.axhline(full["score"], color=drawing.GREY, linewidth=0.8, linestyle=":", label="no early exits, held out")
    beyond = []
    if curves.drop is not None:
        lowest = full["score"] - curves.drop
        beyond += [drawing.limit(each, lowest, f"lowest allowed: {lowest:.4g}", upright=False) for each in axes][:1]
    if curves.speedup is not None:
        beyond.append(drawing.limit(axes[-1], last(full) / curves.speedup, f"{curves.speedup:g} times as fast"))
    return [f"{text}." for text in beyond if text]


def _notes(curves: Curves) -> list[str]:
    counts = {mode: len(rows) for mode, rows in curves.held_out.items()}
    full = "; ".join(
        f"{mode}: {count} thresholds, {_on_front(curves, mode)} on the front" for mode, count in counts.items()
    )
    sure = any("low" in row for rows in curves.held_out.values() for row in rows)
    lines = [f"{full}. {curves.examples} held-out examples chose." + (" Bars: 95 %, each by itself." if sure else "")]
    if curves.dev:
        lines.append(
            f"Dashed: the same thresholds on the {curves.dev_examples} examples of dev, which chose nothing; there the"
            " time of the chosen one alone is measured."
        )
    return lines


def _on_front(curves: Curves, mode: str) -> int:
    return len(undominated(curves.held_out[mode], _layers, _score))


def _name(axis: Axes, curves: Curves, value: Value) -> None:
    """The chosen threshold and those at both ends."""
    marks = [(value(row), row["score"]) for rows in curves.held_out.values() for row in rows]
    if value is _layers:
        marks += [(value(row), row["score"]) for rows in curves.dev.values() for row in rows]
    rows = [curves.chosen, *(row for mode in curves.held_out.values() for row in (mode[0], mode[-1]))]
    named = {(value(row), row["score"]): f"{row['threshold']:.3g}" for row in reversed(rows)}
    drawing.name_points(axis, [Named(*place, name) for place, name in reversed(named.items())], marks)


def _full(curves: Curves) -> Row:
    return curves.held_out["threshold"][0]


def _layers(row: Row) -> float:
    return float(row["mean_layers"])


def _score(row: Row) -> float:
    return float(row["score"])


def _ms(size: object, row: Row) -> float:
    return float(row["ms"][size])
