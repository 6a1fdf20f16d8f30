"""An evaluation: scores, each label's own, which labels are taken for which, how sure answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.files.fields import Fields
from ofa_bert.models.record import numbers
from ofa_bert.numerics import Floats
from ofa_bert.report.run_files import SCORES, RunFiles
from ofa_bert.report.values import Cell, Chart, Section, Table, count, score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERED, _MOST_NAMED = 12, 40  # labels, above which numbers and names could not be read
_LONGEST = 22  # characters of a label
_MOST_CELLS = 30  # labels, above which a table of all pairs would be no help


def section(run: RunFiles) -> Section | None:
    found = run.file(SCORES)
    if found is None:
        return None
    parts: list[Table | Chart | str] = [found.text("what", default="")]
    for number, split in enumerate(found.each("splits")):
        parts += _split(split, number)
    parts += [_beside(other) for other in found.each("beside", default=[])]
    return Section("Evaluation", [part for part in parts if part])


def _split(split: Fields, number: int) -> list[Table | Chart | str]:
    name, labels = split.text("split"), split.each("labels", default=[])
    examples = split.whole("examples", 0)
    scores = numbers(split.mapping("scores"))
    drawn: list[Chart] = []
    values: list[list[Cell]] = [[metric, score(value)] for metric, value in scores.items()]
    parts: list[Table | Chart | str] = [Table(["metric", "value"], values, f"{name}: {examples:,} examples.")]
    if labels:
        rows: list[list[Cell]] = [
            [each.text("label"), count(each.whole("examples", 0)), *(score(each.number(m)) for m in _MEASURES)]
            for each in labels
        ]
        parts.append(Table(["label", "examples", "precision", "recall", "F1"], rows, f"{name}: each label by itself."))
    names = [each.text("label") for each in labels]
    if "confusion" in split:
        counts = split.made("confusion", lambda value: _square(value, len(names)))
        drawn.append(_confusion_chart(f"confusion{number}", f"Labels and answers, {name}", counts, names))
        if len(names) <= _MOST_CELLS:
            cells: list[list[Cell]] = [[label, *map(count, row)] for label, row in zip(names, counts.tolist())]
            said = f"{name}: how many of a row's label got which answer."
            parts.append(Table(["label \\ answer", *names], cells, said))
    if "calibration" in split:
        sure = split.inner("calibration")
        error = sure.number("expected_calibration_error", 0, 1)
        bins = [tuple(each.number(key) for key in _BIN) for each in sure.each("bins")]
        title = f"Reliability, {name}"
        note = f"Expected calibration error {error:.4f}."
        drawn.append(_reliability_chart(f"reliability{number}", title, bins, note))
    return [*parts, *drawn]


_MEASURES = ("precision", "recall", "f1")
_BIN = ("low", "high", "examples", "probability", "right")


def _square(value: Sequence[Sequence[int]], size: int) -> Floats:
    found = np.asarray(value)
    if found.shape != (size, size) or not np.issubdtype(found.dtype, np.integer):
        raise ValueError("no square of counts")
    return found


def _confusion_chart(name: str, title: str, counts: Floats, names: Sequence[str]) -> Chart:
    """Shade: the share of a row, of all examples with that label."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(names)

    def draw(axis: Axes) -> None:
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.figure.colorbar(image, ax=axis, label="share of the label's examples")
        axis.grid(False)
        if size <= _MOST_NUMBERED:
            for row, column in np.ndindex(size, size):
                color = "white" if shares[row, column] > 0.55 else "black"
                axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)
        if size <= _MOST_NAMED:
            long = sum(map(len, names)) > 24
            short = [label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…" for label in names]
            axis.set_xticks(range(size), short, rotation=90 if long else 0, fontsize=8)
            axis.set_yticks(range(size), short, fontsize=8)
        axis.set(xlabel="answer", ylabel="label")

    side = min(9.0, 3.2 + 0.14 * size)
    return Chart(name, title, draw, size=(side + 1.4, side))


def _reliability_chart(name: str, title: str, bins: Sequence[tuple[float, ...]], note: str) -> Chart:
    """How often answers are right by how sure they are. bins: as `_BIN`."""

    def draw(axis: Axes) -> None:
        middles = [(low + high) / 2 for low, high, *_ in bins]
        widths = [0.92 * (high - low) for low, high, *_ in bins]
        axis.bar(middles, [right for *_, right in bins], widths, label="share of right answers")
        sure = [probability for _, _, _, probability, _ in bins]
        axis.plot(sure, sure, "o", color="#e0662b", markersize=4, label="mean probability")
        axis.plot([0, 1], [0, 1], color="grey", linewidth=1, zorder=0)
        axis.set(xlabel="probability of the answer", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1.03))
        axis.legend(loc="upper left")  # as high as a bar there would be far off

    return Chart(name, title, draw, note=note)


def _beside(other: Fields) -> str:
    gap = other.inner("difference")
    low, high = 100 * gap.number("low"), 100 * gap.number("high")
    return (
        f"{other.text('split')}: {100 * gap.number('score'):+.2f} points beside {other.text('what')}"
        f" ({low:+.2f} to {high:+.2f} at 95 %)."
    )
