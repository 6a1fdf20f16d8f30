"""A bundle: static model, ONNX and further precisions on request, tokenizer and manifest; it gets its name when all
of it was compared.

All models take input_ids and token_type_ids, int64 [B, T], B and T free, and give logits, float32 [B, C].
The padding mask is not an input: it is derived from the padding token inside the graph.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.digests import described
from ofa_bert.bundle.entries import FileEntry, ModelEntry, TokenizerEntry
from ofa_bert.bundle.exit_entry import ExitsEntry
from ofa_bert.bundle.manifest import MANIFEST, SHORTEST_INPUT, Manifest, checked_manifest
from ofa_bert.bundle.tolerances import ABSOLUTE
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.engines.build import add_planned
from ofa_bert.engines.plan import EnginePlan
from ofa_bert.errors import UserError
from ofa_bert.exits.policy_file import read_policy
from ofa_bert.export.checks import BATCH, Data, ExportCheck, Probe
from ofa_bert.export.exits import add_exits
from ofa_bert.export.static import save_static
from ofa_bert.export.tokenizer import write_tokenizer
from ofa_bert.export.variants import Exported, Exporter, check_plan, plan
from ofa_bert.files.atomic import atomic_directory, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.models.encoder import backbone, has_token_types, longest_input, model_type_of
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.record import ModelRecord
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import task_for

logger = logging.getLogger(__name__)

_COMPARED_SENTENCES = 64


def export_bundle(
    model: nn.Layer,
    tokenizer: Cutter,
    record: ModelRecord,
    directory: str | Path,
    max_seq_length: int,
    onnx: bool = False,
    tolerance: float = ABSOLUTE,
    precisions: Sequence[str] = ("fp32",),
    fused: bool = False,
    data: Data | None = None,
    max_drop: float = 1.0,
    exits: Exits | None = None,
    exit_policy: str | None = None,
    kept_tokens: np.ndarray | None = None,
    engines: EnginePlan | None = None,
) -> Manifest:
    """Write the bundle of `model` (a full model or an extracted sub-model) and return its manifest.

    `record` is the model's; its shape, sub_model, task, score and scores go into the manifest.
    Every written model is loaded again and its logits are compared with those of `model` on several batch
    sizes and lengths, with `data` on sentences too, and its score on dev. In fp32 a difference above `tolerance`, in
    other precisions one as large as the logits' spread, or a score lower by more than `max_drop` points is a
    RunError; `directory` then stays as it was. `model` is compared in evaluation mode and gets its mode back.
    `exits` hang on `model`: they are written beside it, with the policy that `exit_policy` names, and each is compared.
    `engines` are compiled of the models that were written; one that cannot be, or is wrong, leaves nothing as well.
    `kept_tokens`: the ids that the model's tokens had before its vocabulary was trimmed; that policy knows them so.
    UserError for an impossible length, labels that do not fit the classifier, a missing package or data, and a
    directory that holds something else.
    """
    _check(model, record, max_seq_length)
    names = plan(precisions, onnx, fused)
    check_plan(model, names, data is not None)
    policy = None
    if exits and exit_policy and record.sub_model and record.task:
        layers, vocab_size = depths(model, exits), model.config.vocab_size
        policy = read_policy(exit_policy, record.sub_model, record.task, exits.layout, layers, vocab_size, kept_tokens)
    with atomic_directory(directory) as bundle, _evaluating(model), _full_float32():
        probes = _probes(model, max_seq_length) + _sentences(model, data)
        task = record.task or task_for((), model.config.num_labels)
        judge = ExportCheck(model, probes, tolerance, task, data, max_drop, data.before if data else None)
        exporter = Exporter(model, bundle, judge)
        save_static(model, bundle)
        reports = []
        for name in names:
            reports.append(exporter.add(name))
            logger.info("%s", _line(reports[-1]))
            if exporter.judge.reference is None:  # the others are held against the first, the static one in fp32
                exporter.judge = judge.against(reports[0].check.score_after)
        entry = None if exits is None else add_exits(exporter, exits, names, record, policy)
        about = write_tokenizer(tokenizer, bundle, data.texts if data else ())
        files = described(bundle)
        manifest = replace(
            _description(model, record, max_seq_length, [report.entry for report in reports], files),
            compared_shapes=tuple((ids.shape[0], ids.shape[1]) for ids, _ in probes),
            max_drop=max_drop if math.isfinite(max_drop) else None,
            exits=None if entry is None else ExitsEntry.from_json(Fields(entry, "the bundle's exits"), files),
            tokenizer=TokenizerEntry.from_json(Fields(about, "the bundle's tokenizer")),
            versions=versions(),
        )
        write_json_atomic(bundle / MANIFEST, manifest.to_json())
        checked_manifest(bundle)  # whoever opens it reads it so
        if engines is not None:
            manifest = add_planned(bundle, engines)
    logger.info("bundle written to %s", directory)
    return manifest


def _line(model: Exported) -> str:
    check = model.check
    text = f"{model.entry.name}: {model.bytes / 1e6:.1f} MB, max |d logit| {check.max_abs_difference:.1e}"
    text += check.agreement
    if check.score_before is not None and check.score_after is not None:
        text += f", dev {check.score_before:.4f} -> {check.score_after:.4f}"
    return text


def _sentences(model: nn.Layer, data: Data | None) -> list[Probe]:
    if data is None:
        return []
    some = data.calibration.select(range(min(_COMPARED_SENTENCES, len(data.calibration))))
    return [
        (batch.input_ids, batch.token_type_ids) for batch in eval_batches(some, BATCH, backbone(model).pad_token_id)
    ]


def _check(model: nn.Layer, record: ModelRecord, max_seq_length: int) -> None:
    config, limit = model.config, longest_input(model)
    if not SHORTEST_INPUT <= max_seq_length <= limit:
        allowed = f"from {SHORTEST_INPUT}, one word and two marks, to the {limit} that the model has positions for"
        raise UserError(f"`max_seq_length` {max_seq_length}: must be {allowed}")
    outputs = record.task.num_labels if record.task else config.num_labels
    if record.task and outputs != config.num_labels:
        raise UserError(
            f"task {record.task.name} needs {outputs} outputs, the classifier has {config.num_labels};"
            " export with the task that the model was trained for"
        )


def _description(
    model: nn.Layer, record: ModelRecord, max_seq_length: int, models: Sequence[ModelEntry],
    files: Mapping[str, FileEntry],
) -> Manifest:  # fmt: skip
    """What the model is and which files hold it; how it was compared is not said yet."""
    task = record.task
    return Manifest(
        model_type=model_type_of(model),
        shape=record.shape,
        sub_model=record.sub_model,
        task=task,
        labels=task.labels if task else (),
        num_labels=model.config.num_labels,
        parameters=sum(int(np.prod(parameter.shape)) for parameter in model.parameters()),
        pad_token_id=backbone(model).pad_token_id,
        max_seq_length=max_seq_length,
        score=record.score,
        scores=record.scores or None,
        models=tuple(each for each in models if each.precision != "bf16"),
        computed=tuple(each for each in models if each.precision == "bf16"),
        files=files,
    )


def _is_finite(scores: object) -> bool:
    """Whether a manifest can hold them; a run that diverged measures no number."""
    try:
        return bool(json.dumps(scores, allow_nan=False))
    except ValueError:
        return False


@contextmanager
def _evaluating(model: nn.Layer) -> Iterator[None]:
    """Evaluation mode inside; afterwards each layer is in the mode it had (some may have been frozen)."""
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 inside: Paddle's default on recent GPUs, too coarse (10-bit mantissa) for the comparison."""
    if not paddle.device.is_compiled_with_cuda():
        yield
        return
    core = paddle.base.core
    before = core.get_cublas_switch()
    core.set_cublas_switch(False)
    try:
        yield
    finally:
        core.set_cublas_switch(before)


def _probes(model: nn.Layer, max_seq_length: int) -> list[Probe]:
    """Batches of (input_ids, token_type_ids), each [B, T] int64: random tokens, two segments, padded rows.

    The first row of a batch is full, every other one has its own length. The same model always gets the same.
    """
    rng = np.random.default_rng(0)
    pad = backbone(model).pad_token_id
    tokens = np.setdiff1d(np.arange(model.config.vocab_size), [pad])
    segments = min(2, model.config.type_vocab_size) if has_token_types(model) else 2
    shapes = {(batch, min(length, max_seq_length)) for batch, length in ((1, 1), (1, 3), (2, 17), (5, 10**9))}
    probes = []
    for batch, length in sorted(shapes):
        lengths = np.append(length, rng.integers(1, length + 1, size=batch - 1))
        inside = np.arange(length) < lengths[:, None]  # [B, T]
        input_ids = np.where(inside, rng.choice(tokens, (batch, length)), pad)
        second = np.arange(length) >= (lengths[:, None] + 1) // 2  # [B, T]: the second text of a pair
        probes.append((input_ids.astype("int64"), (inside & second).astype("int64") * (segments - 1)))
    return probes
