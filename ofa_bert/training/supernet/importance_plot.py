"""Heads and FFN neurons by importance, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert import drawing
from ofa_bert.numerics import Floats
from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ofa_bert.training.supernet.importance import Importance  # it brings Paddle, which a runtime need not have


FAINTEST = 1e-3  # the lowest end of the colour scale


def importance_plot(importance: Importance, path: Path, title: str) -> None:
    """Two heat maps, layer by rank: heads and FFN neurons, each layer scaled by its largest score."""
    figure = importance_figure(importance.heads, importance.neurons, title)
    drawing.save(figure, path)


def importance_figure(heads: Floats, neurons: Floats, title: str) -> Figure:
    """The same of scores [layers, heads] and [layers, neurons]."""
    plt = pyplot()
    from matplotlib import colors

    figure, axes = plt.subplots(1, 2, figsize=(12, max(4.8, 1.8 + 0.2 * len(heads))), layout="constrained")
    for axis, scores, name in ((axes[0], heads, "attention heads"), (axes[1], neurons, "FFN neurons")):
        largest = np.maximum(scores.max(axis=1, keepdims=True), 1e-30)
        ranked = -np.sort(-scores / largest, axis=1)  # [layers, heads or neurons]
        # A few neurons outweigh the others by far: on a linear scale every layer would look black.
        scale = colors.LogNorm(vmin=FAINTEST, vmax=1)
        # Lighter is more, for colour-blind people and in grey too.
        image = axis.imshow(
            np.maximum(ranked, FAINTEST), aspect="auto", norm=scale, interpolation="nearest", cmap="cividis"
        )
        axis.set(title=name, xlabel="rank within the layer, most important first", ylabel="layer")
        axis.set_yticks(range(len(scores)))
        figure.colorbar(image, ax=axis, label="importance, share of the layer's largest")
    drawing.title(figure, title)
    faint = f"{FAINTEST:g} of its layer's largest and less is drawn as {FAINTEST:g}"
    counts = f"{heads.shape[0]} layers, {heads.shape[1]} heads and {neurons.shape[1]} neurons in each"
    drawing.note(figure, [f"{counts}; {faint}."])
    return figure
