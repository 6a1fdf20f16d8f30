"""A model as Paddle's static graph on the disk."""

from __future__ import annotations

from pathlib import Path

import paddle
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS, PARAMETERS, STATIC_PREFIX
from ofa_bert.errors import RunError


def save_static(model: nn.Layer, directory: Path) -> None:
    """Write program and parameters, inputs int64 [B, T] with both free. RunError when Paddle cannot."""
    spec = [paddle.static.InputSpec([None, None], "int64", name) for name in INPUTS]
    try:
        paddle.jit.save(model, str(directory / STATIC_PREFIX), input_spec=spec)
    except Exception as error:  # Paddle's own types, and for a full disk whatever C++ threw
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"the static model could not be saved: {reason}") from error
    # A pickle that only describes training; inference and paddle.jit.load work without it.
    (directory / f"{PARAMETERS}.info").unlink(missing_ok=True)
