"""Heads and FFN neurons by importance, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.reporting import pyplot

if TYPE_CHECKING:
    from ofa_bert.training.supernet.importance import Importance  # it brings Paddle, which a runtime need not have


FAINTEST = 1e-3  # the lowest end of the colour scale


def importance_plot(importance: Importance, path: Path, title: str) -> None:
    """Two heat maps, layer by rank: heads and FFN neurons, each layer scaled by its largest score."""
    plt = pyplot()
    from matplotlib import colors

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    panels = ((axes[0], importance.heads, "attention heads"), (axes[1], importance.neurons, "FFN neurons"))
    for axis, scores, name in panels:
        largest = np.maximum(scores.max(axis=1, keepdims=True), 1e-30)
        ranked = -np.sort(-scores / largest, axis=1)  # [layers, heads or neurons]
        # A few neurons outweigh the others by far: on a linear scale every layer would look black.
        scale = colors.LogNorm(vmin=FAINTEST, vmax=1)
        image = axis.imshow(np.maximum(ranked, FAINTEST), aspect="auto", norm=scale, interpolation="nearest")
        axis.set(title=name, xlabel="rank within the layer, most important first", ylabel="layer")
        axis.set_yticks(range(len(scores)))
        figure.colorbar(image, ax=axis, label="importance, share of the layer's largest")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
