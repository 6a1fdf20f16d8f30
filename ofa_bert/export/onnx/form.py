"""Which ONNX graph of a model is written, and the rounding of its weights to INT8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ofa_bert.numerics import Array

# Largest int8 value of a weight that is multiplied in int8. Processors without VNNI add two products of an activation
# (0 to 255) and a weight in 16 bits before anything wider. With 127 that sum overflows and is cut off: logits were off
# by 32 % of their spread there instead of 4 %. Twice 255 * 64 fits.
FACTOR_LIMIT = 64


@dataclass(frozen=True)
class Form:
    """Which graph is written.

    weights: "float", "dynamic" (int8, activations quantized as they come) or "static" (int8, quantized by `scales`).
    scales: for "static", the scale of each tensor that enters a linear layer, by the names of `linear_inputs`.
    per_channel: a scale for each column of an int8 weight; False is there to show what that is worth.
    wide_norms: with half precision, the residual sums and LayerNorms that stay in float32.
    """

    weights: str = "float"
    half: bool = False
    fused: bool = False
    scales: Mapping[str, float] = field(default_factory=dict)
    per_channel: bool = True
    wide_norms: frozenset[str] = frozenset()


def quantize(array: Array, axis: int, most: int = 127, per_channel: bool = True) -> tuple[Array, Array]:
    """(int8 values up to +-`most`, float32 scales) of a matrix; `axis` is the one that shares a scale, and is kept."""
    largest = np.abs(array).max(axis=axis if per_channel else None, keepdims=True)
    scales = np.where(largest > 0, largest / most, 1).astype("float32")
    return np.clip(np.rint(array / scales), -most, most).astype("int8"), scales
