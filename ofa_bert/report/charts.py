"""The kinds of pictures that sections ask for. matplotlib is only touched when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ofa_bert import drawing
from ofa_bert.numerics import Floats
from ofa_bert.report.values import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 25  # points, of which each is marked
_FAR = 30  # times as large: a linear axis would show the smaller one as nothing
FAINTEST = 1e-3  # the lowest end of the colours of a heat map


def _plain(value: float, place: object) -> str:
    """How a logarithmic axis is labelled: not by powers, which only mathematical type can set."""
    return f"{value:g}"


def _nothing(value: float, place: object) -> str:
    return ""


def _legend(axis: Axes) -> None:
    """Below the picture, where it covers nothing."""
    handles, names = axis.get_legend_handles_labels()
    longest = max(map(len, names))
    columns = max(1, min(len(names), 52 // (longest + 6)))
    axis.figure.legend(handles, names, loc="outside lower center", ncols=columns)


class Named(NamedTuple):
    x: float
    y: float
    name: str = ""


def lines(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    marked: tuple[float, str] | None = None,
    level: tuple[float, str] | None = None,
    far: bool = False,
) -> Chart:
    """Series of (x, y). marked: an x and what it is; level: a y and what it is. far: on a logarithmic y axis if apt."""

    def draw(axis: Axes) -> None:
        for label, points in series.items():
            marker = "o" if len(points) <= _FEW else None
            axis.plot(*zip(*points), marker=marker, markersize=3.5, label=label)
        if level is not None:
            axis.axhline(level[0], color="grey", linestyle="--", linewidth=1.2, label=level[1])
        if marked is not None:
            axis.axvline(marked[0], color="grey", linestyle=":", linewidth=1.2, label=marked[1])
        values = [y for points in series.values() for _, y in points]
        if far and min(values) > 0 and max(values) > _FAR * min(values):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(_plain)
        axis.set(xlabel=axes[0], ylabel=axes[1])
        if len(series) > 1 or level or marked:
            _legend(axis)

    return Chart(name, title, draw)


def points(
    name: str,
    title: str,
    groups: Mapping[str, Sequence[Named]],
    axes: tuple[str, str],
    level: tuple[float, str] | None = None,
    winner: Named | None = None,
    joined: Sequence[str] = (),
    far: bool = False,
) -> Chart:
    """Points, each with its name beside it. joined: groups whose points a line connects. far: a logarithmic x axis."""

    def draw(axis: Axes) -> None:
        for marker, (label, group) in zip("osD^vP*X" * (1 + len(groups) // 8), groups.items()):
            style = "-" if label in joined else ""
            axis.plot([p.x for p in group], [p.y for p in group], marker + style, label=label, linewidth=1)
        if winner is not None:
            axis.plot(winner.x, winner.y, "*", markersize=13, color="#e0262b", label=winner.name)
        if level is not None:
            axis.axhline(level[0], color="grey", linestyle="--", linewidth=1.2, label=level[1])
        if far:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(_plain)
            axis.xaxis.set_minor_formatter(_nothing)
        axis.set(xlabel=axes[0], ylabel=axes[1])
        axis.margins(x=0.14, y=0.12)
        if len(groups) > 1 or level or winner:
            _legend(axis)
        every = [point for group in groups.values() for point in group]
        named = [drawing.Named(point.x, point.y, point.name) for point in every if point.name]
        drawing.name_points(axis, named, [(point.x, point.y) for point in every], halo=False)

    return Chart(name, title, draw)


def heat(name: str, title: str, scores: Floats, marks: Mapping[str, int], note: str) -> Chart:
    """Scores [layers, columns], each layer sorted and scaled by its largest. marks: name -> columns that are kept."""

    def draw(axis: Axes) -> None:
        from matplotlib import colors

        largest = np.maximum(scores.max(axis=1, keepdims=True), 1e-30)
        ranked = -np.sort(-scores / largest, axis=1)
        # A few outweigh the others by far: on a linear scale every layer would look black.
        scale = colors.LogNorm(vmin=FAINTEST, vmax=1)
        image = axis.imshow(np.maximum(ranked, FAINTEST), aspect="auto", norm=scale, interpolation="nearest")
        axis.set(xlabel="rank within the layer", ylabel="layer")
        axis.grid(False)
        axis.set_yticks(range(0, len(scores), 1 + (len(scores) - 1) // 12))
        columns = scores.shape[1]
        if columns <= 24:
            axis.set_xticks(range(0, columns, 1 + (columns - 1) // 12))
        for label, kept in marks.items():
            if kept < columns:
                axis.axvline(kept - 0.5, color="#ff5a4f", linewidth=1.3)
            axis.annotate(
                label, (kept - 0.5, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=7.5,
            )  # fmt: skip
        axis.figure.colorbar(image, ax=axis, label="share of the layer's largest", format=_plain)

    return Chart(name, title, draw, note=note)


def bars(name: str, title: str, values: Mapping[str, float], axis_name: str, shown: str = "{:.3g}") -> Chart:
    """A bar for each, downwards."""

    def draw(axis: Axes) -> None:
        places = range(len(values))
        axis.barh(places, list(values.values()), height=0.7)
        for place, value in zip(places, values.values()):
            axis.annotate(shown.format(value), (value, place), xytext=(3, 0), textcoords="offset points", va="center",
                          fontsize=8)  # fmt: skip
        axis.set_yticks(places, list(values))
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(axis_name)

    return Chart(name, title, draw, size=(4.6, 1.2 + 0.3 * len(values)))
