"""Train exits on a finetuned model, a supernet or a sub-model: the job behind run_glue_ofa.py --exits."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS, ExitLayout
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.exit_heads import Exits
from ofa_bert.models.record import describe
from ofa_bert.models.supernet import whole
from ofa_bert.options import to_json
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import score_logits
from ofa_bert.training.exits.config import ExitTrainConfig
from ofa_bert.training.exits.states import Frozen, collect, freeze
from ofa_bert.training.exits.steps import ExitObjective, frozen_step, geep_step, joint_step
from ofa_bert.training.losses.task import KindLosses, losses_of
from ofa_bert.training.run_directory import RunDirectory, check_output_dir, restore
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.supernet.sandwich import Choice

logger = logging.getLogger(__name__)

HELD_OUT = "held_out"
MODEL = "model"  # what a model that is no supernet is called among its sub-models


def train_exits(config: ExitTrainConfig, datasets: Datasets) -> dict[str, Any]:
    """Train the heads, and the model too but for deebert; best/ is the best on the held-out part of train."""
    config = config.resolved()
    output = Path(config.output_dir)
    check_output_dir(output, to_json(config), config.resume, "exits")
    alone = config.exits == "deebert"
    setup = prepare(config, datasets, config.held_out_share, fresh_head=not alone)
    model = setup.model
    space = _space(setup)
    sub_models = space.sub_models() if space else {MODEL: whole(model)}
    layout = choose_layout(config, sub_models)
    paddle.seed(config.seed)
    exits = Exits(model, layout)
    distributed.same_start(exits.parameters())
    trained = exits if alone else loop.JointLayers(model=model, exits=exits)
    if alone:
        for parameter in model.parameters():
            parameter.stop_gradient = True
    plan = loop.make_plan(config, setup.train_batches(config).steps_per_epoch)
    if not alone:
        for parameter in exits.parameters():  # as a multiple of the schedule's
            parameter.optimize_attr["learning_rate"] = config.exit_learning_rate / config.learning_rate
    optimizer = loop.make_optimizer(config, trained, plan)
    state = restore(output, trained, optimizer) if config.resume else {}
    kept = RunDirectory(
        output, model, setup.tokenizer, _meta(config, setup, layout, sub_models), state, {EXITS: exits}, trained
    )
    model.eval()
    frozen = _frozen(config, setup, sub_models, layout)

    def checkpoint(step: int) -> None:
        model.eval()
        exits.eval()
        task = setup.task.tuned(setup.held_out.labels, lambda: _last(frozen[HELD_OUT], exits, sub_models))
        kept.meta["task"] = task.to_json()
        rows = evaluate_exits(dataclasses.replace(setup, task=task), frozen, exits, sub_models)
        held_out = float(np.mean([row["held_out"] for row in rows]))
        logger.info("step %d  mean over exits, held out %.4f  %s", step, held_out, _text(rows))
        scores = {"held_out": held_out, "exits": rows}
        kept.meta.update(scores=_own_scores(rows, space), exit_scores=rows)
        kept.consider("best", step, held_out, scores)
        kept.checkpoint(step, optimizer, scores, last=step == plan.total_steps)
        trained.train()

    choose = _schedule(config, space, sub_models)
    step = _step(config, model, exits, frozen["train"], losses_of(setup.task), choose)
    trained.train()
    batches = setup.train_batches(config)
    loop.fit(config, trained, optimizer, batches, plan, step, checkpoint, state.get("step", 0), "exits")
    own = {
        "task": setup.task.name,
        "exits": layout.to_json(),
        "best": kept.best["best"],
        "last": kept.history[-1],
    }
    return kept.write_results(config, own)


def _space(setup: TrainingSetup) -> SearchSpace | None:
    return SearchSpace.from_json(setup.meta["space"]) if setup.meta.get("space") else None


def choose_layout(config: ExitTrainConfig, sub_models: Mapping[str, SubModelConfig]) -> ExitLayout:
    """The heads that the command line asks for: each at a layer that some sub-model keeps before its last."""
    possible = sorted({layer for sub_model in sub_models.values() for layer in sub_model.layers[:-1]})
    if not possible:
        raise UserError(f"{config.model_name_or_path}: has one layer, so no exit can come before its last")
    count = config.geep_exit_num
    if count is None and config.exits == "geep" and config.exit_layers is None:
        count = max(1, (possible[-1] + 2) * 2 // 3)
    if count is not None:
        if not 1 <= count <= possible[-1] + 1:
            raise UserError(f"--geep_exit_num {count}: must be from 1 to {possible[-1] + 1}, one less than the layers")
        return ExitLayout(config.exit_head, tuple(layer for layer in possible if layer < count))
    wanted = possible if config.exit_layers is None else sorted(set(config.exit_layers))
    wrong = [layer for layer in wanted if layer not in possible]
    if wrong:
        raise UserError(
            f"--exit_layers {' '.join(map(str, wrong))}: an exit hangs after one of the layers"
            f" {' '.join(map(str, possible))}; after the last one the model answers itself"
        )
    return ExitLayout(config.exit_head, tuple(wanted))


def _meta(
    config: ExitTrainConfig, setup: TrainingSetup, layout: ExitLayout, sub_models: Mapping[str, SubModelConfig]
) -> dict[str, Any]:
    """What the model was stays what it is; its exits are added."""
    source = setup.meta
    kept = {key: source[key] for key in ("shape", "space", "sub_model", "teacher") if source.get(key)}
    kept.setdefault("shape", shape_of(setup.model).to_json())
    about = {
        **layout.to_json(),
        "training": config.exits,
        "lambda": config.exit_lambda,
        "sub_models": list(sub_models),
        HELD_OUT: {"count": len(setup.held_out), "seed": config.seed},
    }
    return describe(setup.task, config, kind=source.get("kind", "teacher"), **kept, **{EXITS: about})


def _frozen(
    config: ExitTrainConfig, setup: TrainingSetup, sub_models: Mapping[str, SubModelConfig], layout: ExitLayout
) -> dict[str, Frozen]:
    """States of train, of the held-out part and of each dev split; kept in memory when nothing changes them."""
    splits = {"train": setup.train, HELD_OUT: setup.held_out, **setup.dev}
    keeps = config.exits == "deebert" and layout.head == "ramp"
    limit = config.exit_cache_mib if keeps else None
    return freeze(setup.model, splits, sub_models, setup.tokenizer.pad_token_id, limit)


def _schedule(
    config: ExitTrainConfig, space: SearchSpace | None, sub_models: Mapping[str, SubModelConfig]
) -> Callable[[int], tuple[SubModelConfig, ...]]:
    if space is not None:
        return Choice(space, config.seed, config.sandwich).at
    return lambda step: tuple(sub_models.values())


def _step(
    config: ExitTrainConfig,
    model: nn.Layer,
    exits: Exits,
    frozen: Frozen,
    losses: KindLosses,
    choose: Callable[[int], tuple[SubModelConfig, ...]],
) -> loop.Step:
    objective = ExitObjective(losses, config.exit_lambda, config.exit_weights)
    if config.exits == "deebert":
        return frozen_step(exits, frozen, objective, choose)
    if config.exits == "geep":
        return geep_step(model, exits, objective, choose)
    return joint_step(model, exits, objective, choose, alternate=config.exits == "alternate")


def evaluate_exits(
    setup: TrainingSetup, frozen: Mapping[str, Frozen], exits: Exits, sub_models: Mapping[str, SubModelConfig]
) -> list[dict[str, Any]]:
    """Per sub-model: each exit's score when it answers everything, on dev; under held_out their mean on that part."""
    rows = []
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
            score_logits(task, {HELD_OUT: logits}, {HELD_OUT: setup.held_out.labels})["score"]
            for logits in held_out.logits
        ]
        rows.append(
            {"name": name, "sub_model": sub_model.to_json(), "exits": each, "held_out": float(np.mean(held_scores))}
        )
    return rows


def _last(held_out: Frozen, exits: Exits, sub_models: Mapping[str, SubModelConfig]) -> list[np.ndarray]:
    """What the sub-models answer where nobody leaves early: who does is sure, whatever a threshold is."""
    return [collect(held_out, exits, each, f"{name} held out").logits[-1] for name, each in sub_models.items()]


def _own_scores(rows: list[dict[str, Any]], space: SearchSpace | None) -> dict[str, Any]:
    """The last exits' scores on dev, as training without exits records them."""
    own = {row["name"]: {k: v for k, v in row["exits"][-1].items() if k != "layers"} for row in rows}
    return own if space else own[MODEL]


def _text(rows: list[dict[str, Any]]) -> str:
    largest = rows[0]
    return "  ".join(f"{entry['layers']}: {entry['score']:.4f}" for entry in largest["exits"])


def printable(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows of `evaluate_exits` for `reporting.table`: a column for each number of layers run."""
    columns = sorted({entry["layers"] for row in rows for entry in row["exits"]})
    shown = []
    for row in rows:
        scores = {entry["layers"]: f"{entry['score']:.4f}" for entry in row["exits"]}
        shown.append({"sub-model": row["name"], **{str(count): scores.get(count, "") for count in columns}})
    return shown
