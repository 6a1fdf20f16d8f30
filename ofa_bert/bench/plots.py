"""Pictures of a benchmark's rows: latency bars, and score against latency."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.bench.rows import Row, milliseconds, setting_of
from ofa_bert.numerics import undominated
from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENCY, TRADE_OFF = "latency.png", "score_latency.png"
MARKERS = "osD^vPX*<>"


def latency_plot(rows: Sequence[Row], path: Path) -> None:
    """One panel per setting, one group of bars per back end and precision, one bar per bundle."""
    plt = pyplot()
    settings = list(dict.fromkeys(setting_of(row) for row in rows))
    bundles = list(dict.fromkeys(row["bundle"] for row in rows))
    engines = list(dict.fromkeys((row["backend"], row["precision"]) for row in rows))
    figure, axes = _panels(len(settings), 3.6, 1.0 + 0.22 * len(engines) * (len(bundles) + 0.8))
    for axis, setting in zip(axes, settings):
        here = [row for row in rows if setting_of(row) == setting]
        for number, bundle in enumerate(bundles):
            found = {(row["backend"], row["precision"]): row for row in here if row["bundle"] == bundle}
            places = [index for index, engine in enumerate(engines) if engine in found]
            values = [found[engines[index]]["p50_ms"] for index in places]
            size = 0.8 / len(bundles)
            bars = axis.barh(
                [place - 0.4 + size * (number + 0.5) for place in places],
                values,
                size,
                color=f"C{number}",
                label=bundle,
            )
            axis.bar_label(bars, [f" {milliseconds(value)}" for value in values], fontsize=7)
        threads, batch, length = setting
        axis.set(title=f"batch {batch} x {length} tokens, {_count(threads, 'thread')}", xlabel="median milliseconds")
        axis.set_yticks(range(len(engines)), [f"{backend}\n{precision}" for backend, precision in engines], fontsize=8)
        axis.margins(x=0.16, y=0.02)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()  # of all panels: they share it
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(4, len(bundles)))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def trade_off_plot(rows: Sequence[Row], path: Path) -> bool:
    """Score against latency, one panel per setting; False, and no picture, when no row has a score."""
    scored = [row for row in rows if row["score"] is not None]
    if not scored:
        return False
    plt = pyplot()
    settings = list(dict.fromkeys(setting_of(row) for row in scored))
    bundles = list(dict.fromkeys(row["bundle"] for row in scored))
    engines = list(dict.fromkeys((row["backend"], row["precision"]) for row in scored))
    figure, axes = _panels(len(settings), 3.8, 3.6)
    for axis, setting in zip(axes, settings):
        here = [row for row in scored if setting_of(row) == setting]
        for row in here:
            marker = MARKERS[engines.index((row["backend"], row["precision"])) % len(MARKERS)]
            color = f"C{bundles.index(row['bundle'])}"
            axis.plot(*_place(row), marker, color=color, markersize=7, alpha=0.8)
        best = undominated(list(map(_place, here)), itemgetter(0), itemgetter(1))
        best.append((max(row["p50_ms"] for row in here), best[-1][1]))
        axis.step([x for x, _ in best], [y for _, y in best], where="post", color="0.6", linewidth=1, zorder=0)
        threads, batch, length = setting
        axis.set(title=f"batch {batch} x {length} tokens, {_count(threads, 'thread')}", xlabel="median milliseconds")
        _log_scale(axis)
    axes[0].set_ylabel(scored[0]["score_name"] or "score")
    handles = [plt.Rectangle((0, 0), 1, 1, color=f"C{number}", label=name) for number, name in enumerate(bundles)]
    handles += [
        plt.Line2D([], [], marker=MARKERS[i % len(MARKERS)], linestyle="", color="0.3", label=" ".join(engine))
        for i, engine in enumerate(engines)
    ]
    handles.append(plt.Line2D([], [], color="0.6", linewidth=1, label="best score within a time"))
    figure.legend(handles=handles, loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _place(row: Row) -> tuple[float, float]:
    """Where a row with a score stands."""
    assert row["score"] is not None
    return row["p50_ms"], row["score"]


def _log_scale(axis: Axes) -> None:
    """Times differ by factors; a few round numbers say where, also where they span less than a factor of ten."""
    from matplotlib import ticker

    axis.set_xscale("log")
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
    size = (2.4 + width * columns, 0.6 + height * rows)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharey=True)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
