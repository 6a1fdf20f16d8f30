"""A model with exits as files: the layers between its exits and the head of each, graphs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.exit_entry import HEAD, MOVES, SEGMENT
from ofa_bert.bundle.exits import HIDDEN, Parts
from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.export.onnx.exits import write_head, write_moves, write_segment
from ofa_bert.export.onnx.form import Form
from ofa_bert.export.static import ids_spec, save_layer
from ofa_bert.models.exits.graphs import FirstLayers, Head, NextLayers, depths
from ofa_bert.models.exits.heads import Exits
from ofa_bert.runtime.exit_tensors import Array


def answers(arrays: Sequence[Array]) -> list[np.ndarray]:
    """What a head gave: its logits and certainty never stay on a device."""
    found = [array for array in arrays if isinstance(array, np.ndarray)]
    if len(found) < len(arrays):
        raise TypeError("a head's answers are on the device")
    return found


def write_onnx_parts(model: nn.Layer, exits: Exits, form: Form, target: Path, precision: str) -> Parts:
    """Write the parts into the directory `target`; `precision` is what `form` writes them in."""
    ends = depths(model, exits)
    parts = Parts([], [], [[target / f"{name}.onnx"] for name in MOVES], precision)
    write_moves(model, form, *(path for (path,) in parts.moves))
    for place, (begin, end) in enumerate(zip([0, *ends], ends)):
        parts.segments.append([target / f"{SEGMENT}{place}.onnx"])
        write_segment(model, form, begin, end, *parts.segments[-1])
        parts.heads.append([target / f"{HEAD}{place}.onnx"])
        write_head(model, exits, form, end, *parts.heads[-1])
    return parts


def write_paddle_parts(model: nn.Layer, exits: Exits, target: Path) -> Parts:
    """Write the parts into the directory `target` as static Paddle models in fp32. RunError when that fails."""
    first, second = map(ids_spec, INPUTS)
    hidden = paddle.static.InputSpec([None, None, model.config.hidden_size], "float32", HIDDEN)

    def saved(layer: nn.Layer, name: str, inputs: list[paddle.static.InputSpec]) -> list[Path]:
        return save_layer(layer, target / name, inputs, f"{name} of the exits")

    ends = depths(model, exits)
    parts = Parts([], [], [], "fp32")
    for place, (begin, end) in enumerate(zip([0, *ends], ends)):
        layers = NextLayers(model, begin, end) if begin else FirstLayers(model, end)
        parts.segments.append(saved(layers, f"{SEGMENT}{place}", [hidden, first] if begin else [first, second]))
        head = Head(model, exits, end)
        parts.heads.append(saved(head, f"{HEAD}{place}", [hidden] if head.first_token else [hidden, first]))
    return parts
