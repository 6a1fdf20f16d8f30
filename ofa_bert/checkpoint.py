"""Models and training checkpoints on disk: read from many layouts, written at once, whole after a kill."""

from __future__ import annotations

import copy
import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import numpy as np
from paddle import nn
from paddle.optimizer import Optimizer

from ofa_bert import parallel
from ofa_bert.encoder import encoder_layers, model_class, resize
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import (
    CHECKPOINT_MANIFEST,
    MODEL_META,
    atomic_directory,
    file_sha256,
    read_json,
    recover,
    remove,
    write_json_atomic,
)
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.options import changes
from ofa_bert.pretrained import (
    build_config,
    check_shapes,
    fill,
    load_tokenizer,
    locate,
    put_weights,
    set_epsilon,
)
from ofa_bert.submodels.values import SubModelConfig

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_STATE = "state.json"
_RUN = "ofa_run.json"
# Settings that a resumed run may change: they decide nothing about the weights it ends with.
_FREE = {"output_dir", "resume", "logging_steps", "save_steps", "device"}
_CHECKPOINT_NAME = re.compile(r"checkpoint-(\d+)")


def load_model(
    name_or_path: str | Path,
    model_type: str = "bert",
    num_labels: int | None = None,
    tokenizer_name_or_path: str | None = None,
    **config_overrides: Any,
) -> tuple[nn.Layer, Any, dict[str, Any]]:
    """(model, tokenizer, content of ofa_config.json or {}) from a directory or a PaddleNLP model name.

    A directory is in PaddleNLP's or Hugging Face's layout, float32 or half precision, with or without the
    encoder's prefix and pooler; or one that `save_model` wrote, sub-models included. It is only read.
    The model is float32 and in training mode. With `num_labels`, a classifier or pooler that the source lacks
    starts at random values; without it the source must be complete. `config_overrides` change the
    configuration, for example hidden_dropout_prob=0.0. UserError for anything that does not fit: files, model
    type, sizes, names or shapes of weights, vocabulary.
    """
    source = locate(name_or_path, model_type)
    config = build_config(source, model_type, num_labels, config_overrides)
    sub_model = SubModelConfig.from_json(source.meta["sub_model"]) if source.meta.get("sub_model") else None
    if sub_model is not None:
        config.num_hidden_layers = sub_model.depth
    model = model_class(model_type)(config)
    if sub_model is not None:
        resize(model, sub_model.heads, sub_model.ffn)
    set_epsilon(model)
    fill(model, source, fresh_heads=num_labels is not None)
    if tokenizer_name_or_path is not None:
        source = replace(source, tokenizer_from=tokenizer_name_or_path)
    return model, load_tokenizer(source, model_type, config.vocab_size), source.meta


def save_model(
    directory: str | Path,
    model: nn.Layer,
    tokenizer: Any,
    meta: Mapping[str, Any],
    beside: Mapping[str, nn.Layer] | None = None,
) -> None:
    """Write config.json, model.safetensors, the tokenizer and ofa_config.json (= `meta`), all at once.

    The weights of every layer in `beside` go to <name>.safetensors, which PaddleNLP does not look at.

    Plain PaddleNLP's from_pretrained reads the directory of a full model. An extracted sub-model needs its
    `SubModelConfig` as meta["sub_model"], for `load_model` to give its layers their shapes.
    A kill leaves the old directory or the new one; RunError when the disk is full or refuses.
    """
    model = _bare(model)
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.num_hidden_layers = len(encoder_layers(model))
    with atomic_directory(directory) as new:
        config.save_pretrained(str(new))
        tokenizer.save_pretrained(str(new))
        write_weights(new / WEIGHTS, arrays_of(model))
        for name, layer in (beside or {}).items():
            write_weights(new / f"{name}.safetensors", arrays_of(layer))
        write_json_atomic(new / MODEL_META, dict(meta))


def arrays_of(model: nn.Layer) -> dict[str, np.ndarray]:
    """Every parameter and buffer of the model, by structured name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def _bare(model: nn.Layer) -> nn.Layer:
    return getattr(model, "_layers", model)  # what DataParallel wraps


def save_checkpoint(
    output_dir: str | Path,
    step: int,
    model: nn.Layer,
    optimizer: Optimizer,
    state: Mapping[str, Any],
    keep: int = 1,
) -> Path:
    """Write `checkpoint-<step>/`, then remove all but the `keep` newest. `state` is the caller's, as JSON.

    Checkpoints of later steps are removed too: they are torn, or the run has turned back behind them.
    """
    path = Path(output_dir, f"checkpoint-{step}")
    model = _bare(model)
    moments, schedule = _portable(model, optimizer)
    with atomic_directory(path) as new:
        write_weights(new / WEIGHTS, arrays_of(model))
        write_weights(new / _OPTIMIZER, moments)
        write_json_atomic(new / _STATE, {"step": step, "state": dict(state), "schedule": schedule})
        files = {
            file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for file in sorted(new.iterdir())
        }
        write_json_atomic(new / CHECKPOINT_MANIFEST, {"step": step, "files": files})
    older = [other for other in _checkpoints(output_dir) if other != path and _step(other) < step]
    kept = {path, *older[: max(0, keep - 1)]}
    unfinished = Path(output_dir).glob(".checkpoint-*.ofa-*")
    for other in (*_checkpoints(output_dir), *unfinished):
        if other not in kept:
            remove(other)
    return path


def latest_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint whose every file has the size and SHA-256 of its manifest; others are logged."""
    for path in _checkpoints(output_dir):
        problem = _damage(path)
        if problem is None:
            return path
        logger.warning("%s: skipped: %s", path, problem)
    return None


def _damage(path: Path) -> str | None:
    try:
        files = read_json(path / CHECKPOINT_MANIFEST)["files"]
        for name, expected in files.items():
            file = path / name
            if not file.is_file() or file.stat().st_size != expected["bytes"]:
                return f"{name} is missing or cut off"
            if file_sha256(file) != expected["sha256"]:
                return f"{name} is damaged"
        return None if {WEIGHTS, _OPTIMIZER, _STATE} <= set(files) else "incomplete manifest"
    except (UserError, KeyError, TypeError, AttributeError, OSError) as error:
        return f"no usable manifest ({error})"


def load_checkpoint(directory: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """(weights, optimizer tensors and schedule, caller's state) of a checkpoint, as they are on the disk."""
    directory = Path(directory)
    stored = read_json(directory / _STATE)
    optimizer = {"moments": read_weights(directory / _OPTIMIZER), "schedule": stored["schedule"]}
    return read_weights(directory / WEIGHTS), optimizer, stored["state"]


def restore_checkpoint(directory: str | Path, model: nn.Layer, optimizer: Optimizer) -> dict[str, Any]:
    """Load a checkpoint into model, optimizer and its learning-rate schedule; returns the caller's state."""
    weights, saved, state = load_checkpoint(directory)
    model = _bare(model)
    different = set(weights) ^ set(model.state_dict())
    if different:
        raise UserError(f"{directory}: is of another model; only one of the two has {sorted(different)[0]}")
    check_shapes(model, weights, str(directory))
    _restore_optimizer(model, optimizer, saved)  # first: it changes the weights
    put_weights(model, weights)
    return state


def _portable(model: nn.Layer, optimizer: Optimizer) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The optimizer's tensors as {"<structured name>/<kind>": array}, and its schedule as JSON.

    Paddle calls them "linear_84.w_0_moment1_0": the first number counts every Linear that the process ever
    built, the last one the optimizers, so neither can be relied on in another process.
    """
    state = optimizer.state_dict()
    schedule = state.pop("LR_Scheduler", {})
    keys = _optimizer_keys(model, state)
    return {keys[name]: tensor.numpy() for name, tensor in state.items()}, dict(schedule)


def _optimizer_keys(model: nn.Layer, state: Mapping[str, Any]) -> dict[str, str]:
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


def _restore_optimizer(model: nn.Layer, optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Put what `load_checkpoint` read into an optimizer over `model`'s parameters. Changes the weights."""
    moments = saved["moments"]
    _make_moments(model, optimizer, {key.split("/")[0] for key in moments})
    state = optimizer.state_dict()
    state.pop("LR_Scheduler", None)
    keys = _optimizer_keys(model, state)
    unknown = set(moments) - set(keys.values())
    if unknown:
        raise UserError(f"the checkpoint is of another optimizer or model: it has {sorted(unknown)[0]}")
    values = {name: moments.get(keys[name], tensor.numpy()) for name, tensor in state.items()}
    optimizer.set_state_dict({**values, "LR_Scheduler": saved["schedule"]})
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
    sum((parameters[name] * 0.0).sum() for name in names).backward()
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)


def check_output_dir(path: str | Path, settings: Mapping[str, Any], resume: bool, what: str) -> None:
    """Refuse a directory that holds another run; otherwise the main process records this one in ofa_run.json.

    A directory with best/, last/ or a checkpoint holds a run. Without `resume` that is a UserError. With it,
    the recorded kind of run (`what`) and settings must be the same, but for those in _FREE. Other files do
    not matter: training writes none of their names.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"--output_dir {path}: is a file; name a directory")
    if parallel.is_main():
        for name in ("best", "last"):
            recover(path / name)
    results = [name for name in ("best", "last") if (path / name).exists()]
    results += [found.name for found in _checkpoints(path)]
    record = {"what": what, "settings": json.loads(json.dumps(dict(settings)))}
    if results and not resume:
        raise UserError(
            f"--output_dir {path}: holds a run already ({', '.join(results[:3])}); continue it with --resume,"
            " or name another directory"
        )
    if results:
        _check_same_run(path, record)
    elif parallel.is_main():
        write_json_atomic(path / _RUN, record)


def _check_same_run(path: Path, record: Mapping[str, Any]) -> None:
    stored = read_json(path / _RUN)
    try:
        what, before = stored["what"], dict(stored["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / _RUN}: does not describe a run ({error!r})") from error
    if what != record["what"]:
        raise UserError(f"--output_dir {path}: holds a {what} run, not a {record['what']} run; name another directory")
    both = set(before) & set(record["settings"]) - _FREE
    text = changes({key: before[key] for key in both}, {key: record["settings"][key] for key in both}, "--")
    if text:
        raise UserError(f"--resume in {path}: {text}. Give the same values, or name another --output_dir")


def _checkpoints(output_dir: str | Path) -> list[Path]:
    """All checkpoint directories, whole or not, newest first."""
    output_dir = Path(output_dir)
    if not output_dir.is_dir():
        return []
    found = [path for path in output_dir.iterdir() if _CHECKPOINT_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(_CHECKPOINT_NAME.fullmatch(path.name)[1])
