"""A layer as Paddle's static graph on the disk: the one place that saves one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import paddle
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS, PROGRAMS, STATIC_PREFIX
from ofa_bert.errors import RunError, first_line


def save_static(model: nn.Layer, directory: Path) -> list[Path]:
    """Write a classifier's program and parameters; inputs int64 [B, T], both free. RunError when Paddle cannot."""
    return save_layer(model, directory / STATIC_PREFIX, [ids_spec(name) for name in INPUTS], "the static model")


def ids_spec(name: str) -> paddle.static.InputSpec:
    """An input int64 [B, T], both free."""
    return paddle.static.InputSpec([None, None], "int64", name)


def save_layer(layer: nn.Layer, prefix: Path, inputs: Sequence[paddle.static.InputSpec], what: str) -> list[Path]:
    """Write `<prefix>.json` or `.pdmodel`, and `<prefix>.pdiparams`; returns both. RunError that names `what`."""
    layer.eval()
    try:
        paddle.jit.save(layer, str(prefix), input_spec=list(inputs))
    except Exception as error:  # Paddle's own types, and for a full disk whatever C++ threw
        raise RunError(f"{what} could not be saved: {first_line(error)}") from error
    # A pickle that only describes training; inference and paddle.jit.load work without it.
    prefix.with_name(f"{prefix.name}.pdiparams.info").unlink(missing_ok=True)
    candidates = [prefix.with_name(prefix.name + Path(name).suffix) for name in PROGRAMS]
    (program,) = [path for path in candidates if path.is_file()]
    return [program, prefix.with_name(f"{prefix.name}.pdiparams")]
