"""What all exits of a sub-model say of a data set."""

from __future__ import annotations

from typing import NamedTuple

from ofa_bert.numerics import Floats


class Outputs(NamedTuple):
    """What all exits of a sub-model say of a data set, the last exit last; `layers` [E + 1] run until each."""

    logits: Floats  # [E + 1, N, C] float32
    certainty: Floats  # [E, N] float32
    layers: tuple[int, ...]


def unpack(flat: Floats, classes: int, layers: tuple[int, ...]) -> Outputs:
    """From `all_answers` of a data set [N, (E + 1) * C + E]; `layers` run until each of the E + 1 exits."""
    split = len(layers) * classes
    logits = flat[:, :split].reshape(len(flat), len(layers), classes).transpose(1, 0, 2)
    return Outputs(logits, flat[:, split:].T, layers)
