"""Measure what early exits cost on this device: the parts of a model with exits, run until some of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.exits import ExitPlan, Parts
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.exits.policy import Policy
from ofa_bert.export.exit_parts import answers, write_onnx_parts, write_paddle_parts
from ofa_bert.export.onnx import writer
from ofa_bert.export.onnx.form import Form
from ofa_bert.latency.device import Measurer
from ofa_bert.latency.fit import ExitRun, with_exits
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits, extract_exits
from ofa_bert.models.supernet import extract
from ofa_bert.runtime.backends.registry import format_of
from ofa_bert.runtime.exit_tensors import Array
from ofa_bert.runtime.opening import ExitParts, open_part_files
from ofa_bert.submodels.values import uniform


def measure_exits(device: Measurer, model: nn.Layer, exits: Exits, table: LatencyTable) -> LatencyTable:
    """The table with what exits cost: fitted to models of full and half width, checked on one of two thirds."""
    full, half, between = (_exit_runs(device, model, exits, width) for width in (1.0, 0.5, 2 / 3))
    return with_exits(table, exits.layout.head, [*full, *half], between)


def _exit_runs(device: Measurer, model: nn.Layer, exits: Exits, width: float) -> list[ExitRun]:
    """Calls that end at several exits, of which only that one is asked, or all before it too."""
    sub_model = uniform(shape_of(model), width)
    small = extract(model, sub_model)
    small.eval()
    own = extract_exits(exits, small, sub_model)
    parts, layers = _opened(device, small, own), depths(small, own)
    ids, types = device.inputs(model.config.vocab_size)
    last = len(layers) - 1
    ends = sorted({0, last // 3, 2 * last // 3, last})
    asks = dict.fromkeys([*((end,) for end in ends), *(tuple(range(end + 1)) for end in ends)])
    times = device.timed({ask: partial(through, parts, ids, types, ask) for ask in asks})
    return [ExitRun(sub_model, layers, ask, ms) for ask, ms in times.items()]


def mean_ms(device: Measurer, model: nn.Layer, exits: Exits, ask: Sequence[int], shares: Sequence[float]) -> float:
    """Milliseconds of a call when the exits at places `ask` are asked and `shares` [E + 1] leave at each exit."""
    parts = _opened(device, model, exits)
    ids, types = device.inputs(model.config.vocab_size)
    every = (*ask, len(shares) - 1)
    runs = {end: partial(through, parts, ids, types, [p for p in every if p <= end]) for end in every}
    times = device.timed(runs)
    return float(sum(shares[end] * times[end] for end in every))


def _opened(device: Measurer, model: nn.Layer, exits: Exits) -> ExitParts:
    with tempfile.TemporaryDirectory(prefix="ofa-exits-") as folder:
        return open_parts(device, write_parts(model, exits, Path(folder), device), depths(model, exits))


def through(parts: ExitParts, ids: np.ndarray, types: np.ndarray, ask: Sequence[int]) -> dict[int, list[np.ndarray]]:
    """What the heads at places `ask` say, logits [B, C] and certainty [B]; no part after the last of them is run."""
    found: dict[int, list[np.ndarray]] = {}
    hidden: Array = ids
    for place, segment in enumerate(parts.segments[: max(ask) + 1]):
        (hidden,) = segment(ids, types) if place == 0 else segment(hidden, ids)
        if place in ask:
            found[place] = answers(parts.heads[place](hidden, ids))
    return found


def write_parts(model: nn.Layer, exits: Exits, directory: Path, how: Measurer, form: Form | None = None) -> Parts:
    """As write_model, for the parts of a model with exits. UserError when this back end has none in this precision."""
    if format_of(how.backend) == "paddle":
        if how.precision != "fp32":
            raise UserError(f"`precision` {how.precision}: {how.backend} has exits measured in fp32 alone")
        return write_paddle_parts(model, exits, directory)
    reason = writer.obstacle(model)
    if reason:
        raise UserError(f"the exits of this model cannot be written: {reason}")
    return write_onnx_parts(model, exits, form or how.form(model), directory, how.precision)


def open_parts(device: Measurer, parts: Parts, layers: Sequence[int]) -> ExitParts:
    """All parts of a model with exits, every head among them. `layers` run until each exit."""
    plan = ExitPlan(tuple(layers), Policy.never_leaves(len(layers) - 1), tuple(range(len(layers) - 1)))
    provider = "cuda" if device.device == "gpu" else "cpu"
    return open_part_files(
        parts._replace(precision=device.file_precision), device.backend, plan, provider, device.threads
    )
