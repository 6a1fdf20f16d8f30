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

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.engines.plan import engine_plan
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.checks import Data
from ofa_bert.export.early import check_export
from ofa_bert.export.hugging_face.card import Timed, timed
from ofa_bert.export.hugging_face.layout import layout_of
from ofa_bert.export.hugging_face.write import write_hugging_face
from ofa_bert.export.job import ExportJob
from ofa_bert.files import lock
from ofa_bert.files.fields import Fields
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import backbone
from ofa_bert.models.exits.heads import Exits, exits_of_sub_model, load_exits
from ofa_bert.models.record import ModelRecord, best_of, check_task, numbers
from ofa_bert.models.sub_model_choice import trained_name
from ofa_bert.models.supernet import extract
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.data.glue_download import download_glue
from ofa_bert.training.evaluation import score
from ofa_bert.training.recorded import with_data
from ofa_bert.training.settings import DEFAULT_LENGTH
from ofa_bert.training.supernet.polish import Polished, polish

logger = logging.getLogger(__name__)


@lock.writer("sub_model_output_dir", "static_sub_model", "hugging_face", beside=True)
def deploy(job: ExportJob) -> dict[str, Any]:
    """Write the dynamic sub-model and, on request, its bundle. Returns a summary of what was written."""
    with tempfile.TemporaryDirectory(prefix="ofa-vocabulary-") as home:
        return _deploy(job, Path(home))


def _deploy(job: ExportJob, home: Path) -> dict[str, Any]:
    check_export(job)
    if job.polishing.polish:
        job = with_data(job, job.model_name_or_path)
    where = best_of(job.model_name_or_path)
    model, tokenizer, record = load_model(where, job.model_type)
    if record.shape is None or record.task is None:  # a model known by name
        raise UserError(f"{where}: was not made by run_glue.py or run_glue_ofa.py; it says neither task nor shape")
    task, shape, length = record.task, record.shape, job.max_seq_length or record.max_seq_length or DEFAULT_LENGTH
    sub_model = job.choice.of(where, record, shape)
    small = model if record.is_sub_model else extract(model, sub_model)
    small.eval()
    data = _data(job, record.task) if job.data.given else None
    polished = None
    if job.polishing.polish and data:
        polished = polish(job.polishing, where, record, model, tokenizer, sub_model, small, data)
        record, data = dataclasses.replace(record, task=polished.task), dataclasses.replace(data, task=polished.task)
    before = kept_tokens = None
    if job.trim_vocab:
        before = _score(small, tokenizer, job, length, data) if data else None
        tokenizer, kept_tokens = trim_vocabulary(small, tokenizer, job.trim_vocab, home)
        shape = dataclasses.replace(shape, vocab_size=len(kept_tokens))
    exits = _exits(where, record, model, small, sub_model)
    if exits is None and job.exit_policy:
        raise UserError(f"`exit_policy` {job.exit_policy}: {where} has no exits for it; leave it out")
    own = _record(record, sub_model, shape, exits, polished, known=not job.trim_vocab)
    # Before anything is written: transformers may have no such model.
    layout = layout_of(small, task, job.transformers) if job.hugging_face else None
    scores = own.scores
    summary = {
        "sub_model": sub_model.to_json(),
        "parameters": count_parameters(shape, sub_model),
        "flops": count_flops(shape, sub_model),
        "scores": scores or None,
        "polish": polished.about if polished else None,
        "dynamic": str(job.sub_model_output_dir),
        "models": [],
    }
    if job.static_sub_model:
        manifest = export_bundle(
            small,
            tokenizer,
            own,
            job.static_sub_model,
            length,
            onnx=job.onnx or "fp32" in job.compiled,
            precisions=job.written,
            fused=job.fused,
            data=_encoded(data, tokenizer, job, length, before) if data else None,
            max_drop=job.max_drop,
            exits=exits,
            exit_policy=job.exit_policy,
            kept_tokens=kept_tokens,
            engines=engine_plan(job.engines, job.precision, length),
        )
        models = [*manifest.models, *manifest.computed]
        summary.update(static=str(job.static_sub_model), models=models, exits=manifest.exits)
        summary["engines"] = manifest.engines
    # After the bundle: an export that fails its checks leaves nothing.
    save_model(job.sub_model_output_dir, small, tokenizer, own, {} if exits is None else {EXITS: exits})
    if job.hugging_face and layout:
        if exits is not None:
            logger.warning("`hugging_face` %s: is written without the exits", job.hugging_face)
        write_hugging_face(
            job.hugging_face, small, tokenizer, own, shape, sub_model, length, layout, _timed(job, summary, length)
        )
        summary["hugging_face"] = job.hugging_face
    return summary


def _timed(job: ExportJob, summary: Mapping[str, Any], length: int) -> Timed | None:
    """How fast the deployed models are, for the model card; None where none was written."""
    if not job.static_sub_model:
        return None
    return timed(job.static_sub_model, summary["models"], length, paddle.device.get_device().startswith("gpu"))


def _record(
    record: ModelRecord,
    sub_model: SubModelConfig,
    shape: ModelShape,
    exits: Exits | None,
    polished: Polished | None,
    known: bool,
) -> ModelRecord:
    """What the sub-model is; known: its scores are those that training measured."""
    scores = polished.scores if polished else _scores(record, sub_model, shape)
    scores = scores if known else {}
    return ModelRecord(
        kind="sub_model",
        task=record.task,
        model_type=record.model_type,
        max_seq_length=record.max_seq_length,
        seed=record.seed,
        shape=shape,
        sub_model=sub_model,
        exits=exits and record.exits and dataclasses.replace(record.exits, layout=exits.layout),
        scores=scores,
        score=scores.get("score"),
        more={**record.origin, **({"polish": polished.about} if polished else {})},
    )


def _exits(
    where: str, record: ModelRecord, model: nn.Layer, small: nn.Layer, sub_model: SubModelConfig
) -> Exits | None:
    """The exits of the sub-model; None when there are none."""
    if record.exits is None:
        return None
    exits = load_exits(where, record, model)
    if small is model:
        return exits
    own = exits_of_sub_model(exits, small, sub_model)
    if own is None:
        logger.warning("none of the exits hangs after layers %s: exported without", list(sub_model.layers[:-1]))
    return own


def _data(job: ExportJob, task: Task) -> Datasets:
    """The data set that is named, its classes in the model's order. UserError when it is of another task."""
    named = None if job.data.train_file else task.name
    datasets = job.data.load(known=task, download=download_glue, task_name=named)
    decided = check_task(job.model_name_or_path, ModelRecord(task=task), datasets.task)
    return dataclasses.replace(datasets, task=decided)


def _encoded(datasets: Datasets, tokenizer: Cutter, job: ExportJob, length: int, before: float | None) -> Data:
    """Ids of the calibration sentences, drawn from the training split, and of the dev splits."""
    count = min(job.calibration_sentences, len(datasets.train))
    drawn = np.random.default_rng(0).choice(len(datasets.train), count, replace=False)
    sentences = [datasets.train[index] for index in drawn]
    calibration = encode(sentences, tokenizer, length, False, datasets.task.doc_stride)
    dev = {
        name: encode(rows, tokenizer, length, stride=datasets.task.doc_stride) for name, rows in datasets.dev.items()
    }
    texts = tuple((sentence.text, sentence.text_pair) for sentence in sentences)
    return Data(datasets.task, calibration, dev, texts, before)


def _score(model: nn.Layer, tokenizer: Cutter, job: ExportJob, length: int, datasets: Datasets) -> float:
    """The dynamic model's score on dev, before its vocabulary is trimmed."""
    data = _encoded(datasets, tokenizer, job, length, None)

    def forward(batch: Batch) -> paddle.Tensor:
        return model(batch.input_ids, batch.token_type_ids)

    return score(data.task, forward, data.dev, backbone(model).pad_token_id, label="dev")["score"]


def _scores(record: ModelRecord, sub_model: SubModelConfig, shape: ModelShape) -> dict[str, float]:
    """The dev scores that training measured for exactly this sub-model; empty when it measured none."""
    if record.is_supernet:
        name = trained_name(record, sub_model)
        found = Fields(record.scores, "ofa_config.json, scores")
        return numbers(found.mapping(name)) if name is not None and name in found else {}
    as_trained = record.is_sub_model or sub_model == uniform(shape, 1.0)
    return numbers(record.scores) if as_trained else {}
