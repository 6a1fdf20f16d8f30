"""Pictures of a benchmark's rows: latency bars, and score against latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert import drawing
from ofa_bert.bench.rows import Row, Setting, milliseconds, name_of, setting_of
from ofa_bert.drawing import MARKERS, Named, look
from ofa_bert.numerics import undominated
from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENCY, TRADE_OFF = "latency.png", "score_latency.png"


def latency_figure(rows: Sequence[Row]) -> Figure:
    """One panel per setting, one group of bars per back end and precision, one bar per bundle; whiskers to the p95."""
    settings = list(dict.fromkeys(setting_of(row) for row in rows))
    bundles = list(dict.fromkeys(row["bundle"] for row in rows))
    engines = list(dict.fromkeys((row["backend"], row["precision"]) for row in rows))
    figure, axes = _panels(len(settings), 3.6, 1.0 + 0.22 * len(engines) * (len(bundles) + 0.8))
    size = 0.8 / len(bundles)
    for axis, setting in zip(axes, settings):
        here = [row for row in rows if setting_of(row) == setting]
        for number, bundle in enumerate(bundles):
            found = {(row["backend"], row["precision"]): row for row in here if row["bundle"] == bundle}
            places = [index for index, engine in enumerate(engines) if engine in found]
            of = [found[engines[index]] for index in places]
            _bars(axis, [place - 0.4 + size * (number + 0.5) for place in places], of, size, number, bundle)
        axis.set(title=_titled(setting), xlabel="milliseconds")
        axis.set_yticks(range(len(engines)), [f"{backend}\n{precision}" for backend, precision in engines], fontsize=8)
        axis.margins(x=0.2, y=0.02)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()  # of all panels: they share it
    figure.legend(handles=drawing.handles(axes), loc="outside upper center", ncols=min(4, len(bundles)))
    runs = min(row["runs"] for row in rows)
    drawing.note(
        figure,
        [
            f"{len({name_of(row) for row in rows})} models, {runs} or more runs of each. Bars: median; whiskers: to the"
            " 95th percentile of its runs."
        ],
    )
    return figure


def _bars(axis: Axes, places: Sequence[float], rows: Sequence[Row], size: float, number: int, bundle: str) -> None:
    values, own = [row["p50_ms"] for row in rows], look(number)
    axis.barh(places, values, size, label=bundle, color=own.color, hatch=own.hatch, edgecolor="white", linewidth=0)
    slower = [max(0.0, row["p95_ms"] - row["p50_ms"]) for row in rows]
    axis.errorbar(
        values, places, xerr=[[0.0] * len(rows), slower], fmt="none", ecolor="0.25", elinewidth=0.8, capsize=2
    )
    for place, row in zip(places, rows):
        axis.annotate(
            milliseconds(row["p50_ms"]), (max(row["p50_ms"], row["p95_ms"]), place), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7,
        )  # fmt: skip


def trade_off_figure(rows: Sequence[Row]) -> Figure | None:
    """Score against latency, one panel per setting, the best within each time by name; None when no row has a score."""
    scored = [row for row in rows if row["score"] is not None]
    if not scored:
        return None
    settings = list(dict.fromkeys(setting_of(row) for row in scored))
    bundles = list(dict.fromkeys(row["bundle"] for row in scored))
    engines = list(dict.fromkeys((row["backend"], row["precision"]) for row in scored))
    figure, axes = _panels(len(settings), 4.2, 3.8)
    fronts = []
    for axis, setting in zip(axes, settings):
        here = [row for row in scored if setting_of(row) == setting]
        for row in here:
            own = look(bundles.index(row["bundle"]))
            marker = MARKERS[engines.index((row["backend"], row["precision"])) % len(MARKERS)]
            _point(axis, row, own.color, marker)
        best = undominated(here, _ms, _score)
        ends = [_ms(row) for row in best] + [max(map(_ms, here))], [_score(row) for row in best] + [_score(best[-1])]
        axis.step(*ends, where="post", color="0.6", linewidth=1, zorder=0)
        axis.set(title=_titled(setting), xlabel="median milliseconds")
        _log_scale(axis)
        fronts.append(best)
    axes[0].set_ylabel(scored[0]["score_name"] or "score")
    figure.legend(handles=_key(bundles, engines), loc="outside right upper", fontsize=8)
    drawing.note(figure, _notes(rows, scored, fronts))
    for axis, setting, best in zip(axes, settings, fronts):
        others = [(_ms(row), _score(row)) for row in scored if setting_of(row) == setting]
        drawing.name_points(axis, [Named(_ms(row), _score(row), _called(row)) for row in best], others)
    return figure


def _point(axis: Axes, row: Row, color: str, marker: str) -> None:
    low, high = row.get("score_low"), row.get("score_high")
    if low is not None and high is not None:
        bars = [[value] for value in drawing.spread(low, _score(row), high)]
        axis.errorbar(
            [_ms(row)], [_score(row)], yerr=bars, fmt="none", ecolor=color, elinewidth=0.8, capsize=2, alpha=0.6
        )
    axis.plot(_ms(row), _score(row), marker, color=color, markeredgecolor="white", markersize=8)


def _key(bundles: Sequence[str], engines: Sequence[tuple[str, str]]) -> list[Artist]:
    """Colours are bundles, marks are back ends with their precisions."""
    plt = pyplot()
    handles: list[Artist] = [
        plt.Rectangle((0, 0), 1, 1, color=look(number).color, label=name) for number, name in enumerate(bundles)
    ]
    handles += [
        plt.Line2D([], [], marker=MARKERS[i % len(MARKERS)], linestyle="", color="0.3", label=" ".join(engine))
        for i, engine in enumerate(engines)
    ]
    return [*handles, plt.Line2D([], [], color="0.6", linewidth=1, label="best score within a time")]


def _notes(rows: Sequence[Row], scored: Sequence[Row], fronts: Sequence[Sequence[Row]]) -> list[str]:
    """What was measured, what the bars are, and who has no score and so no point."""
    models = len({name_of(row) for row in scored})
    on_front = " and ".join(dict.fromkeys(str(len(front)) for front in fronts))
    lines = [f"{models} models, {on_front} of them the best within some time; these have their names."]
    sure = {name_of(row) for row in scored if row.get("score_low") is not None}
    if sure:
        lines[0] += " Bars: where a measured score may really lie (95 %), each by itself."
    if len(sure) < models:
        lines[0] += " A score out of a manifest has no bar: it does not say on how many examples."
    without = list(dict.fromkeys(" ".join(name_of(row)) for row in rows if row["score"] is None))
    if without:
        lines.append(f"Without a score, so not shown: {', '.join(without)}.")
    return lines


def _called(row: Row) -> str:
    return f"{row['bundle']} {row['precision']}"


def _ms(row: Row) -> float:
    return row["p50_ms"]


def _score(row: Row) -> float:
    """Of a row that has one."""
    assert row["score"] is not None
    return row["score"]


def _titled(setting: Setting) -> str:
    threads, batch, length = setting
    return f"batch {batch} x {length} tokens, {_count(threads, 'thread')}"


def _log_scale(axis: Axes) -> None:
    """Times differ by factors; a few round numbers say where, also where they span less than a factor of ten."""
    from matplotlib import ticker

    axis.set_xscale("log")
    axis.margins(x=0.12, y=0.12)
    low, high = axis.get_xlim()
    steps = [
        m * 10.0**e for e in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) for m in (1, 2, 5)
    ]
    axis.set_xticks([step for step in steps if low <= step <= high])
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """(figure, its panels), at most three beside each other."""
    columns = 2 if count == 4 else min(3, count)
    rows = -(-count // columns)
    size = (2.4 + width * columns, 0.9 + height * rows)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharey=True)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
