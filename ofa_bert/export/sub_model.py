"""Cut a sub-model out of a supernet and write it twice, to train further and to deploy: the job of export_model.py."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.batches import Batch, encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.checks import Data
from ofa_bert.export.config import ExportConfig
from ofa_bert.files import lock
from ofa_bert.files.reading import read_json
from ofa_bert.models.directories import best_of, load_model, save_model
from ofa_bert.models.encoder import backbone
from ofa_bert.models.exit_heads import Exits, exits_of_sub_model, load_exits
from ofa_bert.models.record import check_task
from ofa_bert.models.supernet import extract
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape, SubModelConfig, even_layers, uniform
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.evaluation import score
from ofa_bert.training.glue_download import download_glue

logger = logging.getLogger(__name__)


@lock.writer("sub_model_output_dir", "static_sub_model", beside=True)
def deploy(config: ExportConfig) -> dict[str, Any]:
    """Write the dynamic sub-model and, on request, its bundle. Returns a summary of what was written."""
    with tempfile.TemporaryDirectory(prefix="ofa-vocabulary-") as home:
        return _deploy(config, Path(home))


def _deploy(config: ExportConfig, home: Path) -> dict[str, Any]:
    where = best_of(config.model_name_or_path)
    model, tokenizer, meta = load_model(where, config.model_type)
    if not meta.get("shape") or not meta.get("task"):
        raise UserError(f"{where}: was not made by run_glue.py or run_glue_ofa.py; it says neither task nor shape")
    _check_targets(config, where)
    shape = ModelShape.from_json(meta["shape"])
    sub_model = choose(config, meta, shape)
    small = model if meta.get("sub_model") else extract(model, sub_model)
    small.eval()
    data = _data(config, Task.from_json(meta["task"])) if config.has_data() else None
    before = kept_tokens = None
    if config.trim_vocab:
        before = _score(small, tokenizer, config, data) if data else None
        tokenizer, kept_tokens = trim_vocabulary(small, tokenizer, config.trim_vocab, home)
        shape = dataclasses.replace(shape, vocab_size=len(kept_tokens))
    scores = None if config.trim_vocab else _scores(meta, sub_model, shape)
    kept = {key: meta[key] for key in ("format", "task", "model_type", "max_seq_length", "seed")}
    own = {**kept, "shape": shape.to_json(), "kind": "sub_model", "sub_model": sub_model.to_json()}
    own["versions"] = versions()
    if scores:
        own.update(scores=scores, score=scores["score"])
    exits = _exits(where, meta, model, small, sub_model)
    if exits is None and config.exit_policy:
        raise UserError(f"--exit_policy {config.exit_policy}: {where} has no exits for it; leave it out")
    if exits is not None:
        own[EXITS] = {**meta[EXITS], **exits.layout.to_json()}
    summary = {
        "sub_model": sub_model.to_json(),
        "parameters": count_parameters(shape, sub_model),
        "flops": count_flops(shape, sub_model),
        "scores": scores,
        "dynamic": str(config.sub_model_output_dir),
        "models": [],
    }
    if config.static_sub_model:
        manifest = export_bundle(
            small,
            tokenizer,
            own,
            config.static_sub_model,
            config.max_seq_length,
            onnx=config.onnx,
            precisions=config.precision,
            fused=config.fused,
            data=_encoded(data, tokenizer, config, before) if data else None,
            max_drop=config.max_drop,
            exits=exits,
            exit_policy=config.exit_policy,
            kept_tokens=kept_tokens,
        )
        models = [*manifest["models"], *manifest["computed"]]
        summary.update(static=str(config.static_sub_model), models=models, files=manifest["files"])
        summary["exits"] = manifest.get(EXITS)
    # After the bundle: an export that fails its checks leaves nothing.
    save_model(config.sub_model_output_dir, small, tokenizer, own, {} if exits is None else {EXITS: exits})
    return summary


def _exits(
    where: str, meta: Mapping[str, Any], model: nn.Layer, small: nn.Layer, sub_model: SubModelConfig
) -> Exits | None:
    """The exits of the sub-model; None when there are none."""
    if not meta.get(EXITS):
        return None
    exits = load_exits(where, meta, model)
    if small is model:
        return exits
    own = exits_of_sub_model(exits, small, sub_model)
    if own is None:
        logger.warning("none of the exits hangs after layers %s: exported without", list(sub_model.layers[:-1]))
    return own


def _data(config: ExportConfig, task: Task) -> Datasets:
    """The data set that the flags name, its classes in the model's order. UserError when it is of another task."""
    arguments = config.data_arguments()
    if not (config.train_file or config.task_name):
        arguments["task_name"] = task.name
    datasets = load_datasets(**arguments, known=task, download=download_glue)
    decided = check_task(config.model_name_or_path, {"task": task.to_json()}, datasets.task)
    return dataclasses.replace(datasets, task=decided)


def _encoded(datasets: Datasets, tokenizer: Any, config: ExportConfig, before: float | None) -> Data:
    """Ids of the calibration sentences, drawn from the training split, and of the dev splits."""
    count = min(config.calibration_sentences, len(datasets.train))
    drawn = np.random.default_rng(0).choice(len(datasets.train), count, replace=False)
    sentences = [datasets.train[index] for index in drawn]
    calibration = encode(sentences, tokenizer, config.max_seq_length, progress=False)
    dev = {name: encode(rows, tokenizer, config.max_seq_length) for name, rows in datasets.dev.items()}
    texts = tuple((sentence.text, sentence.text_pair) for sentence in sentences)
    return Data(datasets.task, calibration, dev, texts, before)


def _score(model: nn.Layer, tokenizer: Any, config: ExportConfig, datasets: Datasets) -> float:
    """The dynamic model's score on dev, before its vocabulary is trimmed."""
    data = _encoded(datasets, tokenizer, config, None)

    def forward(batch: Batch) -> paddle.Tensor:
        return model(batch.input_ids, batch.token_type_ids)

    return score(data.task, forward, data.dev, backbone(model).pad_token_id, label="dev")["score"]


def choose(config: ExportConfig, meta: Mapping[str, Any], shape: ModelShape) -> SubModelConfig:
    """The sub-model that the command line asks for; UserError when the supernet was not trained for it."""
    if meta.get("sub_model"):
        if config.sub_model or config.width_mult != 1 or config.depth_mult != 1:
            raise UserError(
                f"{config.model_name_or_path}: is a sub-model already; leave out --width_mult, --depth_mult and"
                " --sub_model, or start from the supernet"
            )
        return SubModelConfig.from_json(meta["sub_model"])
    if config.sub_model:
        return _from_file(config.sub_model, meta, shape)
    space = SearchSpace.from_json(meta["space"]) if meta.get("space") else SearchSpace(shape, (1.0,))
    if not config.allow_untrained:
        try:
            return space.sub_model(config.width_mult, config.depth_mult)
        except UserError as error:
            raise UserError(f"{error}. --allow_untrained exports it all the same") from error
    logger.warning("width %s, depth %s may be untrained", config.width_mult, config.depth_mult)
    if config.depth_mult in space.depth_mults:
        return uniform(shape, config.width_mult, space.kept_layers[space.depth_mults.index(config.depth_mult)])
    return uniform(shape, config.width_mult, even_layers(shape.num_layers, config.depth_mult))


def _from_file(path: str, meta: Mapping[str, Any], shape: ModelShape) -> SubModelConfig:
    try:
        sub_model = SubModelConfig.from_json(read_json(path))
        sub_model.check_fits(shape)
    except UserError as error:
        raise UserError(f"--sub_model {path}: {error}") from error
    if _name(meta, sub_model) is None:
        logger.warning("%s: is none of the sub-models that were trained; check its score before you deploy it", path)
    return sub_model


def _name(meta: Mapping[str, Any], sub_model: SubModelConfig) -> str | None:
    """What the supernet's results call this sub-model; None when it was not trained as such."""
    if not meta.get("space"):
        return None
    names = {value: key for key, value in SearchSpace.from_json(meta["space"]).sub_models().items()}
    return names.get(sub_model)


def _scores(meta: Mapping[str, Any], sub_model: SubModelConfig, shape: ModelShape) -> dict[str, float] | None:
    """The dev scores that training measured for exactly this sub-model; None when it measured none."""
    if meta.get("space"):
        return meta.get("scores", {}).get(_name(meta, sub_model))
    as_trained = bool(meta.get("sub_model")) or sub_model == uniform(shape, 1.0)
    return meta.get("scores") if as_trained else None


def _check_targets(config: ExportConfig, source: str) -> None:
    """The two output directories must differ from each other and from what is read."""
    paths = {"--sub_model_output_dir": config.sub_model_output_dir, "--static_sub_model": config.static_sub_model}
    read = {Path(source).resolve(), Path(config.model_name_or_path).resolve()}
    seen = set()
    for flag, value in paths.items():
        if value is None:
            continue
        resolved = Path(value).resolve()
        if resolved in read or resolved in seen:
            raise UserError(
                f"{flag} {value}: must differ from --model_name_or_path and from the other output directory"
            )
        seen.add(resolved)
