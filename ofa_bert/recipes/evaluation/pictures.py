"""Pictures of an evaluation: which labels are taken for which, how sure answers are, numbers beside the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.recipes.evaluation.calibration import Calibration
from ofa_bert.reporting import pyplot

_MOST_NUMBERED = 20  # labels, above which the numbers in the fields could not be read
_MOST_NAMED = 60
_LONGEST = 24  # characters of a label


def confusion_picture(confusion: Ints, labels: Sequence[str], title: str, path: Path) -> None:
    """Shade: the share of a row, of all examples with that label."""
    plt, count = pyplot(), len(labels)
    of_row = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = confusion / of_row
    size = min(14.0, 2.6 + 0.42 * count)
    figure, axis = plt.subplots(figsize=(size + 1.2, size), layout="constrained")
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the label's examples", shrink=0.8)
    if count <= _MOST_NUMBERED:
        for row, column in np.ndindex(count, count):
            color = "white" if shares[row, column] > 0.55 else "black"
            axis.text(column, row, str(confusion[row, column]), ha="center", va="center", color=color, fontsize=8)
    if count <= _MOST_NAMED:
        names = [label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…" for label in labels]
        axis.set_xticks(range(count), names, rotation=90 if count > 4 else 0, fontsize=8)
        axis.set_yticks(range(count), names, fontsize=8)
    axis.set(xlabel="answer", ylabel="label", title=title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def calibration_picture(calibration: Calibration, title: str, path: Path) -> None:
    """How often answers are right against how sure they are, and how many are how sure."""
    plt = pyplot()
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(5, 5.4), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    middles = [(each.low + each.high) / 2 for each in calibration.bins]
    width = calibration.bins[0].high - calibration.bins[0].low
    upper.bar(middles, [each.right for each in calibration.bins], width * 0.92, color="C0", label="right answers")
    upper.plot(
        [each.probability for each in calibration.bins],
        [each.probability for each in calibration.bins],
        "o",
        color="C1",
        markersize=4,
        label="mean probability",
    )
    upper.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=0)
    upper.set(ylabel="share of right answers", ylim=(0, 1.02), xlim=(0, 1))
    upper.set_title(f"{title}\nexpected calibration error {calibration.error:.3f}", fontsize=10)
    upper.legend(loc="upper left", fontsize=8)
    lower.bar(middles, [each.examples for each in calibration.bins], width * 0.92, color="0.6")
    lower.set(xlabel="probability of the answer", ylabel="examples")
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def numbers_picture(predictions: Floats, labels: Array, title: str, path: Path) -> None:
    """Every answer against the right number."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(5, 4.6), layout="constrained")
    axis.plot(labels, predictions, "o", markersize=3, alpha=0.4, markeredgewidth=0)
    ends = [min(labels.min(), predictions.min()), max(labels.max(), predictions.max())]
    axis.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    axis.set(xlabel="label", ylabel="answer", title=title)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
