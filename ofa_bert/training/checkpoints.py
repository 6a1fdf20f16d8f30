"""Models and training checkpoints on disk: read from many layouts, written at once, whole after a kill."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn
from paddle.optimizer import Optimizer

from ofa_bert.errors import UserError, first_line
from ofa_bert.files.atomic import CHECKPOINT_MANIFEST, atomic_directory, file_sha256, remove, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.directories import WEIGHTS, arrays_of, bare
from ofa_bert.models.operators import backward
from ofa_bert.models.pretrained import (
    check_shapes,
    put_weights,
)
from ofa_bert.reporting import shown
from ofa_bert.training.output_directory import checkpoints_in, step_of

logger = logging.getLogger(__name__)
_OPTIMIZER = "optimizer.safetensors"
_STATE = "state.json"


def save_checkpoint(
    output_dir: str | Path,
    step: int,
    model: nn.Layer,
    optimizer: Optimizer,
    state: Mapping[str, object],
    keep: int = 1,
) -> Path:
    """Write `checkpoint-<step>/`, then remove all but the `keep` newest. `state` is the caller's, as JSON.

    Checkpoints of later steps are removed too: they are torn, or the run has turned back behind them.
    """
    path = Path(output_dir, f"checkpoint-{step}")
    model = bare(model)
    moments, schedule = _portable(model, optimizer)
    with atomic_directory(path) as new:
        write_weights(new / WEIGHTS, arrays_of(model))
        write_weights(new / _OPTIMIZER, moments)
        write_json_atomic(new / _STATE, {"step": step, "state": dict(state), "schedule": schedule})
        files = {
            file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for file in sorted(new.iterdir())
        }
        write_json_atomic(new / CHECKPOINT_MANIFEST, {"step": step, "files": files})
    older = [other for other in checkpoints_in(output_dir) if other != path and step_of(other) < step]
    kept = {path, *older[: max(0, keep - 1)]}
    unfinished = Path(output_dir).glob(".checkpoint-*.ofa-*")
    for other in (*checkpoints_in(output_dir), *unfinished):
        if other not in kept:
            remove(other)
    return path


def latest_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint whose every file has the size and SHA-256 of its manifest; others are logged."""
    for path in checkpoints_in(output_dir):
        problem = _damage(path)
        if problem is None:
            return path
        logger.warning("%s: skipped: %s", path, problem)
    return None


def _damage(path: Path) -> str | None:
    try:
        files = Fields(read_json(path / CHECKPOINT_MANIFEST), CHECKPOINT_MANIFEST).inner("files")
        for name in files.value:
            file, expected = path / name, files.inner(name)
            if not file.is_file() or file.stat().st_size != expected.whole("bytes"):
                return f"{name} is missing or cut off"
            if file_sha256(file) != expected.text("sha256"):
                return f"{name} is damaged"
        return None if {WEIGHTS, _OPTIMIZER, _STATE} <= set(files.value) else "incomplete manifest"
    except (UserError, OSError) as error:
        return f"no usable manifest ({first_line(error)[:200]})"


class Checkpoint(NamedTuple):
    """What a checkpoint holds: the optimizer's tensors as `_portable` names them; `state` is the caller's."""

    weights: dict[str, np.ndarray]
    moments: dict[str, np.ndarray]
    schedule: Mapping[str, object]
    state: Mapping[str, object]


def load_checkpoint(directory: str | Path) -> Checkpoint:
    """A checkpoint as it is on the disk. UserError when its state does not describe where a run stood."""
    directory = Path(directory)
    path = directory / _STATE
    stored = Fields(read_json(path), str(path), f"remove {directory} and resume")
    schedule, state = stored.mapping("schedule"), stored.mapping("state")
    return Checkpoint(read_weights(directory / WEIGHTS), read_weights(directory / _OPTIMIZER), schedule, state)


def restore_checkpoint(directory: str | Path, model: nn.Layer, optimizer: Optimizer) -> Mapping[str, object]:
    """Load a checkpoint into model, optimizer and its learning-rate schedule; returns the caller's state."""
    saved, model = load_checkpoint(directory), bare(model)
    different = set(saved.weights) ^ set(model.state_dict())
    if different:
        raise UserError(f"{directory}: is of another model; only one of the two has {sorted(different)[0]}")
    check_shapes(model, saved.weights, str(directory))
    _check_schedule(Path(directory, _STATE), optimizer.state_dict().get("LR_Scheduler", {}), saved.schedule)
    _restore_optimizer(model, optimizer, saved)  # first: it changes the weights
    put_weights(model, saved.weights)
    return saved.state


def _check_schedule(path: Path, own: Mapping[str, object], saved: Mapping[str, object]) -> None:
    """UserError unless what was saved is what a schedule like `own` keeps."""
    for name, value in own.items():
        found = saved.get(name)
        if isinstance(value, dict) and isinstance(found, dict):
            _check_schedule(path, value, found)
        elif not _is_like(value, found):
            raise UserError(f"{path}: the learning rate's {name} is {shown(found)}; the checkpoint is of another run")


def _is_like(own: object, found: object) -> bool:
    numbers = (int, float, np.number)
    if isinstance(own, numbers) and not isinstance(own, bool):
        whole = type(found) is int and 0 <= found < 1 << 53
        return whole or (not isinstance(own, int) and type(found) is float and math.isfinite(found))
    return type(own) is type(found)


def _portable(model: nn.Layer, optimizer: Optimizer) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The optimizer's tensors as {"<structured name>/<kind>": array}, and its schedule as JSON.

    Paddle calls them "linear_84.w_0_moment1_0": the first number counts every Linear that the process ever
    built, the last one the optimizers, so neither can be relied on in another process.
    """
    state = optimizer.state_dict()
    schedule = state.pop("LR_Scheduler", {})
    keys = _optimizer_keys(model, state)
    return {keys[name]: tensor.numpy() for name, tensor in state.items()}, dict(schedule)


def _optimizer_keys(model: nn.Layer, state: Mapping[str, paddle.Tensor]) -> dict[str, str]:
    """Paddle's name of each optimizer tensor -> "<structured name>/<kind>"."""
    structured = {parameter.name: name for name, parameter in model.named_parameters()}
    keys = {}
    for name in state:
        match = _OPTIMIZER_TENSOR.fullmatch(name)
        if match is None or match["parameter"] not in structured:
            raise UserError(f"the optimizer's {name!r} belongs to no parameter of the model")
        keys[name] = f"{structured[match['parameter']]}/{match['kind']}"
    return keys


_OPTIMIZER_TENSOR = re.compile(r"(?P<parameter>\w+\.[wb]_\d+)_(?P<kind>\w+)_\d+")


def _restore_optimizer(model: nn.Layer, optimizer: Optimizer, saved: Checkpoint) -> None:
    """Put what `load_checkpoint` read into an optimizer over `model`'s parameters. Changes the weights."""
    moments = saved.moments
    _make_moments(model, optimizer, {key.split("/")[0] for key in moments})
    state = optimizer.state_dict()
    state.pop("LR_Scheduler", None)
    keys = _optimizer_keys(model, state)
    different = set(moments) ^ set(keys.values())
    if different:
        raise UserError(f"the checkpoint is of another optimizer or model: only one of the two has {min(different)}")
    values = {name: moments[keys[name]] for name in state}
    for name, tensor in state.items():
        found = values[name]
        if (list(found.shape), found.dtype) != (list(tensor.shape), tensor.numpy().dtype):
            raise UserError(
                f"the checkpoint is of another optimizer or model: {keys[name]} is {found.dtype} {list(found.shape)},"
                f" must be {tensor.numpy().dtype} {list(tensor.shape)}"
            )
    optimizer.set_state_dict({**values, "LR_Scheduler": saved.schedule})
    # Everything is set by now. Paddle would keep the dictionary, and refuse a parameter that is not in it and
    # gets its first gradient after resuming.
    optimizer._accumulators_holder = {}


def _make_moments(model: nn.Layer, optimizer: Optimizer, names: set[str]) -> None:
    """One step with gradients of 0: Paddle makes and names an optimizer's tensors in its first step."""
    parameters = dict(model.named_parameters())
    unknown = names - set(parameters)
    if unknown:
        raise UserError(f"the checkpoint is of another model: it has {sorted(unknown)[0]}")
    optimizer.clear_grad(set_to_zero=False)
    backward(sum((parameters[name] * 0.0).sum() for name in names))
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
