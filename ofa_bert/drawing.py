"""How pictures look: series that everybody can tell apart, names that cover nothing, limits, and notes underneath."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

DPI = 110
# Okabe and Ito's, told apart by colour-blind people too; neighbours differ in lightness, for prints in grey.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7")
MARKERS = "osD^vPX*<>"
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "+++", "ooo")
LINES = ("-", "--", "-.", ":")
GREY = "0.45"

_LETTERS_OF_AN_INCH = 14.0  # at 8 points, about
_CLEAR = 4.0  # points around the middle of a mark that no name may cover
# Where a name may stand: how far from its point, in points, and in which direction; the first free place is taken.
_AWAY = (7, 15, 25, 36, 48, 62, 78)
_TURNS = (45, -45, 135, -135, 0, 180, 90, -90, 20, -20, 160, -160)
_FAR = 15  # points from which on a thin line leads from a name to its point

Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels


class Look(NamedTuple):
    """What a series is told from the others by: any of the four alone does, so a print in grey does too."""

    color: str
    marker: str
    hatch: str
    line: str


def look(number: int) -> Look:
    """Of the n-th series of a picture, from 0."""
    return Look(*(each[number % len(each)] for each in (COLORS, MARKERS, HATCHES, LINES)))


class Named(NamedTuple):
    """A point and what it is called."""

    x: float
    y: float
    name: str


class Names(NamedTuple):
    """The names that were written, and those that found no room."""

    written: list[Annotation]
    left_out: list[str]


def title(figure: Figure, text: str) -> None:
    """Above all panels, in as many lines as it needs."""
    figure.suptitle(textwrap.fill(text, int(figure.get_figwidth() * _LETTERS_OF_AN_INCH * 8 / 11)), fontsize=11)


def note(figure: Figure, lines: Sequence[str]) -> None:
    """Underneath all panels, in as many lines as it needs; call it once."""
    width = int(figure.get_figwidth() * _LETTERS_OF_AN_INCH)
    text = "\n".join(textwrap.fill(line, width) for line in lines)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color="0.2")


def limit(axis: Axes, value: float, label: str, upright: bool = True) -> str | None:
    """The line of a budget; upright: on the x axis. Where it would squeeze all else together, a text for the note."""
    low, high = axis.get_xlim() if upright else axis.get_ylim()
    room = high - low
    if not low - room <= value <= high + room:
        return f"{label} lies outside the picture"
    draw = axis.axvline if upright else axis.axhline
    dashes = (0, (5, 2)) if upright else (0, (6, 2, 1, 2))
    draw(value, color="black", linestyle=dashes, linewidth=1.1, label=label, zorder=1)
    return None


def spread(low: float, value: float, high: float) -> tuple[float, float]:
    """How far an error bar goes down and up from its value."""
    return max(0.0, value - low), max(0.0, high - value)


def handles(axes: Sequence[Axes]) -> list[Artist]:
    """What the panels draw, each label once, for a legend of all of them."""
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            found.setdefault(label, handle)
    return list(found.values())


def settle(figure: Figure) -> None:
    """Lay the panels out once and for all, so that what is placed by pixels stays where it is."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def name_points(
    axis: Axes, points: Sequence[Named], marks: Sequence[tuple[float, float]] = (), halo: bool = True
) -> Names:
    """Write each name beside its point, where it covers no other name, no point and no other mark.

    The most important first: a name for which there is no room is left out. Whatever changes the layout comes before.
    halo: a white edge around letters, which a picture on any background but white is without.
    """
    figure = axis.figure.canvas.figure  # the whole one, not a part of it
    settle(figure)
    pixel = figure.dpi / 72
    room = axis.get_window_extent().extents
    where = [tuple(axis.transData.transform(place)) for place in [*((p.x, p.y) for p in points), *marks]]
    taken = [_around(x, y, _CLEAR * pixel) for x, y in where] + _texts(axis)
    found = Names([], [])
    for point, (x, y) in zip(points, where):
        if not _inside(_around(x, y, 0), room):
            continue
        text = _written(axis, point, halo)
        extent = text.get_window_extent()
        place = _free(x, y, extent.width, extent.height, pixel, taken, room)
        if place is None:
            text.remove()
            found.left_out.append(point.name)
            continue
        right, up, away, box = place
        text.set_position((right / pixel, up / pixel))
        if away >= _FAR:
            _lead(axis, point, x, y, box, pixel)
        taken.append(box)
        found.written.append(text)
    return found


def _written(axis: Axes, point: Named, halo: bool) -> Annotation:
    from matplotlib import patheffects  # as matplotlib itself: drawing alone needs it

    edge = [patheffects.withStroke(linewidth=2, foreground="white")] if halo else []
    return axis.annotate(
        point.name, (point.x, point.y), xytext=(0, 0), textcoords="offset points", fontsize=8, ha="left", va="bottom",
        path_effects=edge,
    )  # fmt: skip


def _lead(axis: Axes, point: Named, x: float, y: float, box: Box, pixel: float) -> None:
    """A thin line from the nearest side of a name to its point."""
    side = min(max(x, box[0]), box[2]) - x, min(max(y, box[1]), box[3]) - y
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    axis.annotate(
        "", (point.x, point.y), xytext=(side[0] / pixel, side[1] / pixel), textcoords="offset points", arrowprops=line
    )


def _free(
    x: float, y: float, width: float, height: float, pixel: float, taken: Sequence[Box], room: Sequence[float]
) -> tuple[float, float, int, Box] | None:
    """(pixels right and up of the point where the name begins, how far that is in points, its box); None: no room."""
    for away in _AWAY:
        for turn in _TURNS:
            across, along = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            right = across * away * pixel - width * _behind(across)
            up = along * away * pixel - height * _behind(along)
            box = (x + right, y + up, x + right + width, y + up + height)
            if _inside(box, room) and not any(_overlap(box, other) for other in taken):
                return right, up, away, box
    return None


def _behind(direction: float) -> float:
    """The share of a name that lies on the other side of where it is anchored: none, all, or half of it."""
    return 0.5 if abs(direction) < 0.35 else float(direction < 0)


def _texts(axis: Axes) -> list[Box]:
    """What is written in the panel already, its legend included."""
    legend = axis.get_legend()
    found = [each.get_window_extent() for each in (*axis.texts, *([legend] if legend else []))]
    return [(box.x0, box.y0, box.x1, box.y1) for box in found]


def _around(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _inside(box: Box, room: Sequence[float]) -> bool:
    return box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def save(figure: Figure, path: Path) -> None:
    """Write it as PNG with everything that stands at its edges, and close it."""
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    pyplot().close(figure)
