"""Finetune a pretrained encoder on one task: the job behind run_glue.py."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import paddle

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.encoding.token_ids import DIRECTORY
from ofa_bert.data.held_out import HeldOut
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import ExitRecord, ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.numerics import Ints
from ofa_bert.options import to_json
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training import loop
from ofa_bert.training.data.test_split import TestScores, TestSplit
from ofa_bert.training.evaluation import score, stock_forward, tuned
from ofa_bert.training.losses.task import KindLosses, for_batch, losses_of
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Evaluation, RunResults, Scored, ScoredEntry, check_output_dir
from ofa_bert.training.settings import DEFAULT_LENGTH, FinetuneJob, LabelLoss
from ofa_bert.training.setup import TrainingSetup, prepare

logger = logging.getLogger(__name__)

MAJORITY = 0.75  # of one class, above which accuracy is told to mislead


class FinetuneResults(RunResults, total=False):
    task: str
    test: TestScores
    best: Scored
    last: ScoredEntry


class About(TypedDict):
    """What a model is, as its record says it."""

    kind: str
    shape: ModelShape
    sub_model: SubModelConfig | None


def finetune(
    job: FinetuneJob,
    datasets: Datasets,
    observe: Callable[[int, float], None] = lambda step, score: None,
    token_cache: Path | None = None,
) -> FinetuneResults:
    """Train on the labels; best/ is the best on dev. Returns what results.json in the output directory says.

    `observe` hears of every evaluation, and may end the run with an exception. token_cache: as of `prepare`.
    """
    job = dataclasses.replace(job, model=with_model_type(job.model, job.model.model_name_or_path))
    output, settings = Path(job.output_dir), to_json(job)
    check_output_dir(output, settings, job.loop.resume, "finetune")
    setup = prepare(
        job.model,
        job.loop,
        datasets,
        token_cache or output / DIRECTORY,
        job.held_out_share,
        "fresh" if job.fresh_head else "may_be_missing",
    )
    task, model, pad_id = setup.task, setup.model, setup.tokenizer.pad_token_id
    losses = labelled_losses(task, setup.train, job.labels)
    test = TestSplit.read(job.evaluations.test_file, job.data, task)

    def evaluate() -> Evaluation:
        decided = tuned(task, model, [stock_forward(model)], setup.held_out, pad_id)
        scores = score(decided, stock_forward(model), setup.dev, pad_id, label=setup.scored_on)
        lines = [f"{setup.scored_on} {as_text(scores)}"]
        return Evaluation(score=scores["score"], scores=scores, lines=lines, task=decided)

    training = Training(
        name="finetune",
        model=model,
        tokenizer=setup.tokenizer,
        record=trained_record(setup, job.model.model_type, settings, **what_it_is(setup)),
        batches=setup.train_batches(job.loop),
        make_step=lambda plan: finetune_step(model, losses),
        evaluate=evaluate,
        observe=observe,
        data=setup.facts,
    )
    kept = train(training, output, job.loop, job.optimizer, job.evaluations)
    own: FinetuneResults = {"task": task.name, "best": kept.scored_best(), "last": kept.scored_last()}
    if test is not None:
        own["test"] = test.scores(output / "best", job.loop.length, lambda best: {"best": stock_forward(best)})
    return kept.write_results(settings, own)


def what_it_is(setup: TrainingSetup) -> About:
    """Kind and shape of a full model; of a sub-model that is trained further, what it was cut from and how."""
    source = setup.record
    if source.is_sub_model:
        shape = source.shape or shape_of(setup.model)
        return {"kind": "sub_model", "shape": shape, "sub_model": source.sub_model}
    return {"kind": "teacher", "shape": shape_of(setup.model), "sub_model": None}


def trained_record(
    setup: TrainingSetup,
    model_type: str,
    settings: Mapping[str, object],
    *,
    kind: str,
    shape: ModelShape,
    space: SearchSpace | None = None,
    sub_model: SubModelConfig | None = None,
    exits: ExitRecord | None = None,
    scores: Mapping[str, float] | None = None,
    more: Mapping[str, object] | None = None,
) -> ModelRecord:
    """The record of what a run with these settings trains on a task. With scores, it has their `score` too."""
    told = Fields(settings, "the settings of the run")
    length: int | None = told.whole("max_seq_length", default=None)
    return ModelRecord(
        kind=kind,
        task=setup.task,
        model_type=model_type,
        max_seq_length=length or DEFAULT_LENGTH,
        seed=told.whole("seed", default=None),
        shape=shape,
        space=space,
        sub_model=sub_model,
        exits=exits,
        elastic=None if sub_model is not None else setup.record.passed_on(shape.num_layers),
        held_out=None if setup.held_out is None else HeldOut.of(setup.held_out, told.whole("seed")),
        scores=scores or {},
        score=None if scores is None else scores["score"],
        config=settings,
        more={**setup.record.origin, **(more or {})},
    )


def labelled_losses(task: Task, train: Encoded, how: LabelLoss) -> KindLosses:
    """The task's losses with its labels counting as asked for. UserError for a kind that has no classes."""
    losses = losses_of(task)
    if not how.changes:
        _warn_of_majority(task, train, losses)
        return losses
    if losses.weighed is None:
        name = "class_weights" if how.class_weights != "none" else "label_smoothing"
        raise UserError(f"`{name}`: is about classes, and {task.name} has {task.kind.word}; leave it out")
    weights = balanced(train.labels, task.num_labels) if how.class_weights == "balanced" else None
    if weights is not None:
        named = zip(task.labels, weights)
        logger.info("an example of class %s", ", ".join(f"{label} counts {weight:.3g}" for label, weight in named))
    return losses._replace(task=losses.weighed(weights, how.label_smoothing))


def _warn_of_majority(task: Task, train: Encoded, losses: KindLosses) -> None:
    """Where one class has most examples, the best accuracy may be that of a model which knows no other."""
    if losses.weighed is None or task.metrics[0] != "accuracy":
        return
    shares = np.bincount(train.labels, minlength=task.num_labels) / len(train.labels)
    if shares.max() >= MAJORITY:
        logger.warning(
            "%s: %.0f%% of train are %s, so accuracy tells little; `metric` macro_f1 chooses the best step by all"
            " classes alike, `class_weights` balanced trains them alike",
            task.name,
            100 * shares.max(),
            task.labels[int(shares.argmax())],
        )


def balanced(labels: Ints, count: int) -> list[float]:
    """Of each class the weight with which all of them count alike, 1 on the mean over examples; 0 for one without any.

    As scikit-learn's class_weight "balanced" where every class has examples.
    """
    held = np.bincount(labels, minlength=count)
    there = int((held > 0).sum())
    return [len(labels) / (there * number) if number else 0.0 for number in held.tolist()]


def finetune_step(model: paddle.nn.Layer, losses: KindLosses) -> loop.Step:
    """One batch of plain supervised training."""

    everything = whole(model)

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        # The supernet's forward of the whole model: the stock one has the same outputs and slower CPU gradients.
        logits = forward(model, batch.input_ids, batch.token_type_ids, everything).logits
        loss = for_batch(losses, batch).task(logits, batch.labels)
        backward(loss)
        return {"loss": loss.item()}

    return step
