"""Train one supernet from a finetuned teacher: the job behind run_glue_ofa.py."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.batches import Batch
from ofa_bert.errors import UserError
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.record import describe
from ofa_bert.models.supernet import forward
from ofa_bert.options import to_json
from ofa_bert.reporting import millions
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import loop
from ofa_bert.training.evaluation import score, stock_forward, tuned
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.run_directory import RunDirectory, check_output_dir, restore
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.supernet.config import OfaConfig
from ofa_bert.training.supernet.importance import held_out_importance, reorder
from ofa_bert.training.supernet.layer_choice import layers_by_importance
from ofa_bert.training.supernet.sandwich import Choice
from ofa_bert.training.supernet.step import Objective, supernet_step

logger = logging.getLogger(__name__)


def train_supernet(config: OfaConfig, datasets: Datasets) -> dict[str, Any]:
    """Importance, reorder, distil; best/ has the best mean score. Returns what results.json says."""
    output = Path(config.output_dir)
    check_output_dir(output, to_json(config), config.resume, "supernet")
    setup = prepare(config, datasets, config.held_out_share)
    model = setup.model
    if setup.meta.get("sub_model"):
        raise UserError(f"{config.model_name_or_path}: is an exported sub-model; a supernet starts from a full model")
    teacher = copy.deepcopy(model)
    teacher.eval()
    space = _search_space(config, setup)
    reorder(model, held_out_importance(setup, output))
    if config.supernet_dropout is not None:
        set_dropout(model, config.supernet_dropout)

    batches = setup.train_batches(config)
    shares = (config.width_stage_share,) if config.stages != "joint" else ()
    plan = loop.make_plan(config, batches.steps_per_epoch, shares)
    optimizer = loop.make_optimizer(config, model, plan)
    state = restore(output, model, optimizer) if config.resume else {}
    teacher_scores = _score(setup, stock_forward(teacher), "teacher on dev")
    logger.info("teacher  dev %s", as_text(teacher_scores))
    meta = describe(setup.task, config, kind="supernet", shape=space.shape.to_json(), space=space.to_json())
    kept = RunDirectory(output, model, setup.tokenizer, {**meta, "teacher": teacher_scores}, state)

    def checkpoint(step: int) -> None:
        every = [_sub_model_forward(model, sub_model) for sub_model in space.sub_models().values()]
        task = tuned(setup.task, model, every, setup.held_out, setup.tokenizer.pad_token_id)
        kept.meta["task"] = task.to_json()
        scores = evaluate_sub_models(dataclasses.replace(setup, task=task), model, space)
        for name, values in scores.items():
            logger.info("step %d  %-16s dev %s", step, name, as_text(values))
        kept.consider("best", step, float(np.mean([values["score"] for values in scores.values()])), scores)
        if config.keep_best_sub_models:
            for name, values in scores.items():
                kept.consider(f"best_{name}", step, values["score"], scores)
        kept.checkpoint(step, optimizer, scores, last=step == plan.total_steps)

    objective = Objective(losses_of(setup.task), config.lambda_logit, config.lambda_rep)
    step = supernet_step(model, teacher, objective, _schedule(config, space, plan))
    model.train()
    loop.fit(config, model, optimizer, batches, plan, step, checkpoint, state.get("step", 0), "supernet")
    own = {
        "task": setup.task.name,
        "teacher": teacher_scores,
        "best": result_rows(space, teacher_scores, kept.best["best"]["scores"]),
        "last": result_rows(space, teacher_scores, kept.history[-1]["scores"]),
        "best_step": kept.best["best"]["step"],
        "best_of_each": {name: value for name, value in kept.best.items() if name != "best"},
    }
    return kept.write_results(config, own)


def _search_space(config: OfaConfig, setup: TrainingSetup) -> SearchSpace:
    shape = shape_of(setup.model)
    depths = tuple(sorted(set(config.depth_mult_list), reverse=True))
    if config.layer_choice == "even":
        return SearchSpace(shape, config.width_mult_list, depths)
    pad_id = setup.tokenizer.pad_token_id
    setup.model.eval()
    kept = layers_by_importance(setup.model, setup.held_out, pad_id, depths, setup.task.kind)
    for depth, layers in zip(depths, kept):
        logger.info("depth %.4g keeps layers %s", depth, " ".join(map(str, layers)))
    return SearchSpace(shape, config.width_mult_list, depths, kept)


def _schedule(config: OfaConfig, space: SearchSpace, plan: loop.Plan) -> Callable[[int], tuple[SubModelConfig, ...]]:
    """Which sub-models each step trains: in the width stage of two, only those of the largest depth."""
    everything = Choice(space, config.seed, config.sandwich)
    if len(plan.stage_ends) == 1:
        return everything.at
    deepest = SearchSpace(space.shape, space.width_mults, space.depth_mults[:1], space.kept_layers[:1])
    widths = Choice(deepest, config.seed, config.sandwich)
    return lambda step: widths.at(step) if step < plan.stage_ends[0] else everything.at(step)


def evaluate_sub_models(setup: TrainingSetup, model: nn.Layer, space: SearchSpace) -> dict[str, dict[str, float]]:
    """Name -> scores on dev of every sub-model of the space."""
    was_training = model.training
    model.eval()
    scores = {}
    for name, sub_model in space.sub_models().items():
        scores[name] = _score(setup, _sub_model_forward(model, sub_model), name)
    if was_training:
        model.train()
    return scores


def _sub_model_forward(model: nn.Layer, sub_model: SubModelConfig) -> Callable[[Batch], paddle.Tensor]:
    return lambda batch: forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits


def _score(setup: TrainingSetup, run: Callable[[Batch], paddle.Tensor], label: str) -> dict[str, float]:
    return score(setup.task, run, setup.dev, setup.tokenizer.pad_token_id, label=label)


def result_rows(
    space: SearchSpace, teacher: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """One row per sub-model: what it is, how large, how good, how far from the teacher."""
    return [
        {
            "name": name,
            "sub_model": sub_model.to_json(),
            "parameters": count_parameters(space.shape, sub_model),
            "flops": count_flops(space.shape, sub_model),
            "scores": dict(scores[name]),
            "difference": scores[name]["score"] - teacher["score"],
        }
        for name, sub_model in space.sub_models().items()
    ]


def printable(rows: list[dict[str, Any]], teacher: Mapping[str, float]) -> list[dict[str, str]]:
    """The rows of `result_rows` for `reporting.table`, the teacher first. FLOPs are for 128 tokens."""
    full = rows[0]
    shown = [{"sub-model": "teacher", "parameters": "", "GFLOPs": "", **_rounded(teacher), "difference": ""}]
    for row in rows:
        shown.append(
            {
                "sub-model": row["name"],
                "parameters": millions(row["parameters"]),
                "GFLOPs": f"{row['flops'] / 1e9:.2f}",
                **_rounded(row["scores"]),
                "difference": f"{row['difference']:+.4f}",
            }
        )
    shown[0]["parameters"], shown[0]["GFLOPs"] = millions(full["parameters"]), f"{full['flops'] / 1e9:.2f}"
    return shown


def _rounded(scores: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in scores.items() if name != "score" or len(scores) > 2}
