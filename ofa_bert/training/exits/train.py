"""Train exits on a finetuned model, a supernet or a sub-model: the job behind run_glue_ofa.py `exits`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import paddle

from ofa_bert.data.encoding.token_ids import DIRECTORY
from ofa_bert.data.held_out import HeldOut
from ofa_bert.exits.layout import EXITS, ExitLayout, check_one_answer
from ofa_bert.files.fields import Fields
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import ExitRecord, ModelRecord
from ofa_bert.models.supernet import whole
from ofa_bert.numerics import Floats
from ofa_bert.options import to_json
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import score, score_logits, stock_forward, warn_below_chance
from ofa_bert.training.exits.jobs import ExitTrainingJob
from ofa_bert.training.exits.layouts import choose_layout
from ofa_bert.training.exits.states import Frozen, collect, freeze
from ofa_bert.training.exits.steps import ExitObjective, frozen_step, geep_step, joint_step
from ofa_bert.training.finetune import trained_record
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Best, Entry, Evaluation, RunResults, check_output_dir
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.supernet.sandwich import Choice

logger = logging.getLogger(__name__)

HELD_OUT = "held_out"
MODEL = "model"  # what a model that is no supernet is called among its sub-models


class ExitRow(TypedDict):
    """A sub-model's exits: for each the number of layers run and its scores on dev; `held_out` is their mean there."""

    name: str
    sub_model: Mapping[str, list[int]]
    exits: list[dict[str, float]]
    held_out: float


class ExitResults(RunResults):
    task: str
    exits: Mapping[str, object]
    best: Best
    last: Entry


def train_exits(job: ExitTrainingJob, datasets: Datasets) -> ExitResults:
    """Train the heads, and the model too but for deebert; best/ is the best on the held-out part of train."""
    check_one_answer(datasets.task)
    job = job.resolved()
    job = dataclasses.replace(job, model=with_model_type(job.model, job.model.model_name_or_path))
    output, settings = Path(job.output_dir), to_json(job)
    check_output_dir(output, settings, job.loop.resume, "exits")
    alone = job.heads_alone
    setup = prepare(
        job.model, job.loop, datasets, output / DIRECTORY, job.held_out_share, "needed" if alone else "may_be_missing"
    )
    model, space = setup.model, setup.record.space
    sub_models = space.sub_models() if space else {MODEL: whole(model)}
    layout = choose_layout(job, sub_models)
    paddle.seed(job.loop.seed)
    exits = Exits(model, layout)
    distributed.same_start(exits.parameters())
    trained = exits if alone else loop.JointLayers(model=model, exits=exits)
    if alone:
        for parameter in model.parameters():
            parameter.stop_gradient = True
    else:
        for parameter in exits.parameters():  # as a multiple of the schedule's
            parameter.optimize_attr["learning_rate"] = job.head_rate / job.optimizer.learning_rate
    model.eval()
    if setup.record.task is None:
        whole_score = score(
            setup.task, stock_forward(model), setup.dev, setup.tokenizer.pad_token_id, label="model on dev"
        )
        warn_below_chance(job.model.model_name_or_path, setup.task, whole_score["score"])
    frozen = _frozen(job, setup, sub_models, layout)

    def evaluate() -> Evaluation:
        task = setup.task.tuned(setup.measured.labels, lambda: _last(frozen[HELD_OUT], exits, sub_models))
        rows = evaluate_exits(dataclasses.replace(setup, task=task), frozen, exits, sub_models)
        held_out = float(np.mean([row["held_out"] for row in rows]))
        return Evaluation(
            score=held_out,
            scores={"held_out": held_out, "exits": rows},
            lines=[
                f"held out, mean over exits {held_out:.4f}",
                f"dev, {rows[0]['name']}, by layers run  {_text(rows)}",
            ],
            recorded=_own_scores(rows, space),
            more={"exit_scores": rows},
            task=task,
        )

    training = Training(
        name="exits",
        model=model,
        trained=trained,
        tokenizer=setup.tokenizer,
        record=_record(job, setup, layout, sub_models),
        batches=setup.train_batches(job.loop, job.augmentation),
        make_step=lambda plan: _step(job, setup, exits, frozen["train"], _schedule(job, space, sub_models)),
        evaluate=evaluate,
        beside={EXITS: exits},
        data=setup.facts,
    )
    kept = train(training, output, job.loop, job.optimizer)
    own: ExitResults = {
        "task": setup.task.name,
        "exits": layout.to_json(),
        "best": kept.best["best"],
        "last": kept.history[-1],
    }
    return kept.write_results(settings, own)


def _record(
    job: ExitTrainingJob, setup: TrainingSetup, layout: ExitLayout, sub_models: Mapping[str, SubModelConfig]
) -> ModelRecord:
    """What the model was stays what it is; its exits are added."""
    source = setup.record
    about = ExitRecord(
        layout=layout,
        training=job.exits,
        share=job.share,
        sub_models=tuple(sub_models),
        held_out=HeldOut.of(setup.measured, job.loop.seed),
    )
    return trained_record(
        setup,
        job.model.model_type,
        to_json(job),
        kind=source.kind or "teacher",
        shape=source.shape or shape_of(setup.model),
        space=source.space,
        sub_model=source.sub_model,
        exits=about,
        more={key: source.more[key] for key in ("teacher",) if key in source.more},
    )


def _frozen(
    job: ExitTrainingJob, setup: TrainingSetup, sub_models: Mapping[str, SubModelConfig], layout: ExitLayout
) -> dict[str, Frozen]:
    """States of train, of the held-out part and of each dev split; kept in memory when nothing changes them."""
    splits = {"train": setup.train, HELD_OUT: setup.measured, **setup.dev}
    # What is changed on the fly is new in every step, so there is nothing to keep.
    keeps = job.heads_alone and layout.head == "ramp" and not job.augmentation.augment
    limit = job.exit_cache_mib if keeps else None
    return freeze(setup.model, splits, sub_models, setup.tokenizer.pad_token_id, limit)


def _schedule(
    job: ExitTrainingJob, space: SearchSpace | None, sub_models: Mapping[str, SubModelConfig]
) -> Callable[[int], tuple[SubModelConfig, ...]]:
    if space is not None:
        return Choice(space, job.loop.seed, job.sandwich).at
    return lambda step: tuple(sub_models.values())


def _step(
    job: ExitTrainingJob,
    setup: TrainingSetup,
    exits: Exits,
    frozen: Frozen,
    choose: Callable[[int], tuple[SubModelConfig, ...]],
) -> loop.Step:
    objective = ExitObjective(losses_of(setup.task), job.share, job.exit_weights)
    if job.exits == "deebert":
        return frozen_step(exits, frozen, objective, choose)
    if job.exits == "geep":
        return geep_step(setup.model, exits, objective, choose)
    return joint_step(setup.model, exits, objective, choose, alternate=job.exits == "alternate")


def evaluate_exits(
    setup: TrainingSetup, frozen: Mapping[str, Frozen], exits: Exits, sub_models: Mapping[str, SubModelConfig]
) -> list[ExitRow]:
    """Per sub-model: each exit's score when it answers everything, on dev; under held_out their mean on that part."""
    rows: list[ExitRow] = []
    task = setup.task
    for name, sub_model in sub_models.items():
        if not exits.layout.points(sub_model):
            continue
        dev = {split: collect(frozen[split], exits, sub_model, f"{name} {split}") for split in setup.dev}
        held_out = collect(frozen[HELD_OUT], exits, sub_model, f"{name} held out")
        labels = {split: encoded.labels for split, encoded in setup.dev.items()}
        each = [
            {"layers": layers, **score_logits(task, {split: dev[split].logits[i] for split in dev}, labels)}
            for i, layers in enumerate(held_out.layers)
        ]
        held_scores = [
            score_logits(task, {HELD_OUT: logits}, {HELD_OUT: setup.measured.labels})["score"]
            for logits in held_out.logits
        ]
        rows.append(
            {"name": name, "sub_model": sub_model.to_json(), "exits": each, "held_out": float(np.mean(held_scores))}
        )
    return rows


def _last(held_out: Frozen, exits: Exits, sub_models: Mapping[str, SubModelConfig]) -> list[Floats]:
    """What the sub-models answer where nobody leaves early: who does is sure, whatever a threshold is."""
    return [collect(held_out, exits, each, f"{name} held out").logits[-1] for name, each in sub_models.items()]


def _own_scores(rows: Sequence[ExitRow], space: SearchSpace | None) -> Mapping[str, object]:
    """The last exits' scores on dev, as training without exits records them."""
    own = {row["name"]: {k: v for k, v in row["exits"][-1].items() if k != "layers"} for row in rows}
    return own if space else own[MODEL]


def _text(rows: Sequence[ExitRow]) -> str:
    largest = rows[0]
    return "  ".join(f"{entry['layers']}: {entry['score']:.4f}" for entry in largest["exits"])


def printable(results: ExitResults) -> list[dict[str, str]]:
    """The rows of best/ for `reporting.table`: a column for each number of layers run."""
    found: dict[str, dict[int, str]] = {}
    for row in Fields(results["best"]["scores"], "the scores of best/").each("exits"):
        scores = {exit.whole("layers"): f"{exit.number('score'):.4f}" for exit in row.each("exits")}
        found[row.text("name")] = scores
    columns = sorted({count for scores in found.values() for count in scores})
    return [
        {"sub-model": name, **{str(count): scores.get(count, "") for count in columns}}
        for name, scores in found.items()
    ]
