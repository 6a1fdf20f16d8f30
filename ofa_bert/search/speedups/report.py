"""What a family leaves to read: a row for each target, its table, and a picture of score over speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from ofa_bert import drawing
from ofa_bert.drawing import Named, look
from ofa_bert.reporting import pyplot
from ofa_bert.search.costs.parameters import COST as PARAMETERS
from ofa_bert.search.speedups.targets import TOLERANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_TOUCHING = 1.17  # times as fast as another target, below which their labels on the axis would touch


class Interval(TypedDict):
    """By how much a score is above the full model's, and from where to where that may really lie (95 %)."""

    score: float
    low: float
    high: float


class FullRow(TypedDict):
    """The full model. predicted_ms: by the first table."""

    precision: str
    predicted_ms: float
    score: float
    examples: int


class MemberRow(TypedDict):
    """A target's sub-model. measured: whether ms and full_ms were, in turn with each other, or are the tables' alone.

    within: whether its speed is the target's. difference: of its held-out score and the full model's.
    """

    name: str
    target: float
    speedup: float
    within: bool
    measured: bool
    ms: float
    full_ms: float
    predicted_ms: float
    precision: str
    sub_model: Mapping[str, list[int]]
    costs: Mapping[str, float]
    file_bytes: int
    score: float
    difference: Interval
    dev: Mapping[str, float]
    directory: str


class FamilyResults(TypedDict, total=False):
    """teacher: its held-out score, None where it is no longer there; it may have been trained on these examples."""

    full: FullRow
    teacher: float | None
    family: list[MemberRow]


def family_table(found: FamilyResults) -> list[dict[str, str]]:
    """The family for `reporting.table`; scores and their differences in points."""
    rows = []
    for row in found["family"]:
        gap = row["difference"]
        rows.append(
            {
                "target": row["name"],
                "measured" if row["measured"] else "predicted": f"{row['speedup']:.2f}×",
                "ms": f"{row['ms']:.2f}",
                PARAMETERS.column: PARAMETERS.shown(row["costs"][PARAMETERS.name]),
                "file MiB": f"{row['file_bytes'] / 2**20:.1f}",
                "precision": row["precision"],
                "held-out": f"{100 * row['score']:.2f}",
                "beside the full model": f"{100 * gap['score']:+.2f}",
                "95 %": f"{100 * gap['low']:+.2f} to {100 * gap['high']:+.2f}",
                "dev": f"{100 * row['dev']['score']:.2f}",
            }
        )
    return rows


def family_remarks(found: FamilyResults) -> list[str]:
    """What the table does not say by itself: the full model, targets that were missed, noise, what is not worth it."""
    full, family = found["full"], found["family"]
    lines = [
        f"1×: the full model in {full['precision']}, {full['predicted_ms']:.2f} ms by its table, scores"
        f" {100 * full['score']:.2f} on the {full['examples']} held-out examples"
    ]
    for row in family:
        if not row["within"]:
            lines.append(
                f"{row['name']}: nothing is within {100 * TOLERANCE:.0f} %; taken is the nearest that is fast enough,"
                f" {row['speedup']:.2f}×"
            )
    doubtful = [row["name"] for row in family if row["difference"]["low"] <= 0 <= row["difference"]["high"]]
    if doubtful:
        lines.append(
            f"{', '.join(doubtful)}: so few examples cannot tell the score from the full model's; the interval of the"
            " difference holds 0"
        )
    for row in family:
        better = [other for other in family if other["speedup"] > row["speedup"] and other["score"] >= row["score"]]
        if better:
            best = max(better, key=lambda other: other["score"])
            lines.append(f"{row['name']}: {best['name']} is faster and scores no less")
    return lines


# What the columns of `family_table` mean, for `reporting.legend`.
COLUMNS = {
    "target": "how many times as fast as the full model the sub-model was to be",
    "measured": "how many times as fast it is, both run in turn on this device",
    "predicted": "how many times as fast it is by the latency tables, made on another kind of machine",
    "ms": "of a call",
    "file MiB": "of the exported model that this device runs",
    "held-out": "score in points on examples that trained nothing; it was chosen by this",
    "beside the full model": "difference of the two scores on the same examples, in points",
    "95 %": "where that difference may really lie; one that holds 0 tells nothing apart",
    "dev": "score in points on dev, which chose nothing",
}


def family_figure(found: FamilyResults, title: str, evaluated: int | None = None) -> Figure:
    """Score over speed-up, on a logarithmic axis; bars are intervals of the difference from the full model."""
    figure, axis = pyplot().subplots(figsize=(8.5, 5.4), layout="constrained")
    full, family = found["full"], found["family"]
    draw_family(axis, found)
    drawing.title(figure, f"{title} on {full['examples']} held-out examples")
    counted = f"{len(family)} chosen" if evaluated is None else f"{len(family)} chosen of {evaluated} evaluated"
    drawing.note(figure, [f"{counted}. Bars: 95 %, paired with the full model. Thin upright lines: the targets."])
    names = [Named(row["speedup"], row["score"], f"{row['name']} {row['precision']}") for row in family]
    drawing.name_points(axis, names)
    return figure


def _apart(ticks: Sequence[float]) -> list[str]:
    """A label for each, but for those that would touch the one before."""
    labels, last = [], 0.0
    for tick in ticks:
        near = tick < last * _TOUCHING
        labels.append("" if near else f"{tick:g}×")
        last = last if near else tick
    return labels


def draw_family(axis: Axes, found: FamilyResults) -> None:
    full, family = found["full"], found["family"]
    axis.axhline(full["score"], color="black", linewidth=0.8, label=f"full model, {full['precision']}")
    teacher = found.get("teacher")
    if teacher is not None:
        axis.axhline(teacher, color=drawing.GREY, linewidth=0.8, linestyle="--", label="teacher")
    for row in family:
        axis.axvline(row["target"], color="0.75", linewidth=0.8, zorder=0)
    for number, precision in enumerate(dict.fromkeys(row["precision"] for row in family)):
        rows, own = [row for row in family if row["precision"] == precision], look(number)
        scores = [row["score"] for row in rows]
        gaps = [drawing.spread(gap["low"], gap["score"], gap["high"]) for gap in (row["difference"] for row in rows)]
        speeds = [row["speedup"] for row in rows]
        axis.errorbar(
            speeds, scores, yerr=list(zip(*gaps)), fmt=own.marker, capsize=4, color=own.color, label=precision
        )
    axis.set_xscale("log")
    ticks = sorted({1.0, *(row["target"] for row in family)})
    axis.set_xticks(ticks, _apart(ticks))
    axis.set_xticks([], minor=True)
    axis.set_xlim(0.9, 1.35 * max(row["speedup"] for row in family))
    axis.margins(y=0.12)
    axis.set(xlabel="times as fast as the full model", ylabel="held-out score")
    axis.grid(alpha=0.3, axis="y")
    axis.legend(loc="lower left", fontsize=8)
