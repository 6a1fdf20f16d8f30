"""Train one supernet from a finetuned teacher: the job behind run_glue_ofa.py."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.token_ids import DIRECTORY
from ofa_bert.errors import UserError
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import numbers_of_each
from ofa_bert.models.supernet import forward
from ofa_bert.options import to_json
from ofa_bert.reporting import millions
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.data.test_split import TestScores, TestSplit
from ofa_bert.training.evaluation import Forward, score, stock_forward, tuned, warn_below_chance
from ofa_bert.training.finetune import trained_record
from ofa_bert.training.loop import Plan
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.presets import SUPERNET, recipe_record
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Best, Evaluation, RunResults, check_output_dir
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.students.vocabulary import Pupil, check_vocabulary
from ofa_bert.training.supernet.importance import held_out_importance, reorder
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_choice import choose_layers
from ofa_bert.training.supernet.sandwich import Choice
from ofa_bert.training.supernet.step import Objective, supernet_step
from ofa_bert.training.supernet.teacher import named_teacher
from ofa_bert.training.supernet.trial import TrialPlan, Trials

logger = logging.getLogger(__name__)


class SubModelRow(TypedDict):
    """A sub-model of a supernet: what it is, how large, how good, how far from the teacher."""

    name: str
    sub_model: Mapping[str, list[int]]
    parameters: int
    flops: float
    scores: Mapping[str, float]
    difference: float


class SupernetResults(RunResults, total=False):
    task: str
    test: TestScores
    teacher: Mapping[str, float]
    layer_choice: Mapping[str, object]
    best: list[SubModelRow]
    last: list[SubModelRow]
    best_step: int
    best_of_each: Mapping[str, Best]


def train_supernet(job: SupernetJob, datasets: Datasets) -> SupernetResults:
    """Importance, reorder, distil; best/ has the best mean score. Returns what results.json says."""
    job = dataclasses.replace(job, model=with_model_type(job.model, job.model.model_name_or_path))
    output, settings = Path(job.output_dir), to_json(job)
    check_output_dir(output, settings, job.loop.resume, "supernet")
    recipe = recipe_record(job.recipe, SUPERNET, job)
    setup = prepare(job.model, job.loop, datasets, output / DIRECTORY, job.held_out_share, "needed")
    model, task = setup.model, setup.task
    if setup.record.is_sub_model:
        where = job.model.model_name_or_path
        raise UserError(f"{where}: is an exported sub-model; a supernet starts from a full model")
    test = TestSplit.read(job.evaluations.test_file, job.data, task)
    teacher = _teacher(job, setup, datasets)
    batches = setup.train_batches(job.loop, job.augmentation, teacher)
    objective = Objective(losses_of(task), job.lambda_logit, job.lambda_rep)
    trial = TrialPlan(job.trial_steps, job.loop, job.optimizer, objective, job.supernet_dropout, settings)
    chosen = choose_layers(job, setup, lambda: Trials(trial, setup, teacher, batches, output / DIRECTORY))
    space = SearchSpace(shape_of(model), job.width_mult_list, chosen.depth_mults, chosen.kept_layers)
    reorder(model, held_out_importance(setup, output))
    if job.supernet_dropout is not None:
        set_dropout(model, job.supernet_dropout)
    teacher_scores = _score(setup, stock_forward(teacher), "teacher on dev")
    logger.info("teacher  dev %s", as_text(teacher_scores))
    warn_below_chance(job.teacher or job.model.model_name_or_path, task, teacher_scores["score"])

    training = Training(
        name="supernet",
        model=model,
        tokenizer=setup.tokenizer,
        record=trained_record(
            setup, job.model.model_type, settings,
            kind="supernet", shape=space.shape, space=space,
            more={**recipe, "teacher": teacher_scores, "layer_choice": chosen.to_json()},
        ),
        batches=batches,
        make_step=lambda plan: supernet_step(model, teacher, objective, _schedule(job, space, plan)),
        evaluate=lambda: _evaluation(setup, space, job.keep_best_sub_models),
        stage_shares=(job.width_stage_share,) if job.stages != "joint" else (),
        data=setup.facts,
    )  # fmt: skip
    kept = train(training, output, job.loop, job.optimizer, job.evaluations)
    own: SupernetResults = {
        "task": task.name,
        "teacher": teacher_scores,
        "layer_choice": chosen.to_json(),
        "best": result_rows(space, teacher_scores, numbers_of_each(kept.best["best"]["scores"])),
        "last": result_rows(space, teacher_scores, numbers_of_each(kept.history[-1]["scores"])),
        "best_step": kept.best["best"]["step"],
        "best_of_each": {name: value for name, value in kept.best.items() if name != "best"},
    }
    if test is not None:
        own["test"] = test.scores(output / "best", job.loop.length, lambda best: _forwards(best, space))
    return kept.write_results(settings, own)


def _teacher(job: SupernetJob, setup: TrainingSetup, datasets: Datasets) -> nn.Layer:
    """The one that is named, which must read the same ids; else the model as it is now."""
    if not job.teacher:
        teacher = copy.deepcopy(setup.model)
        teacher.eval()
        return teacher
    teacher, tokenizer = named_teacher(job.teacher, job.model.model_type, setup.model, setup.task)
    own = job.model.model_name_or_path
    cure = "finetune both from encoders with the same vocab.txt and tokenizer_config.json"
    pupil = Pupil(f"`model_name_or_path` {own}", job.teacher, cure, cure)
    check_vocabulary(pupil, tokenizer, setup.tokenizer, datasets.train, job.loop.length, setup.task.doc_stride)
    return teacher


def _evaluation(setup: TrainingSetup, space: SearchSpace, each_kept: bool) -> Evaluation:
    """Of all sub-models as they are now; each_kept: the best weights of each are kept by themselves."""
    model, task = setup.model, setup.task
    decided = tuned(task, model, list(_forwards(model, space).values()), setup.held_out, setup.tokenizer.pad_token_id)
    scores = evaluate_sub_models(dataclasses.replace(setup, task=decided), model, space)
    each = {f"best_{name}": values["score"] for name, values in scores.items()}
    return Evaluation(
        score=float(np.mean(list(each.values()))),
        scores=scores,
        lines=[f"{name:<16} dev {as_text(values)}" for name, values in scores.items()],
        also=each if each_kept else {},
        task=decided,
    )


def _schedule(job: SupernetJob, space: SearchSpace, plan: Plan) -> Callable[[int], tuple[SubModelConfig, ...]]:
    """Which sub-models each step trains: in the width stage of two, only those of the largest depth."""
    everything = Choice(space, job.loop.seed, job.sandwich)
    if len(plan.stage_ends) == 1:
        return everything.at
    deepest = SearchSpace(space.shape, space.width_mults, space.depth_mults[:1], space.kept_layers[:1])
    widths = Choice(deepest, job.loop.seed, job.sandwich)
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


def _forwards(model: nn.Layer, space: SearchSpace) -> dict[str, Forward]:
    """What every sub-model computes, by its name."""
    return {name: _sub_model_forward(model, sub_model) for name, sub_model in space.sub_models().items()}


def _score(setup: TrainingSetup, run: Callable[[Batch], paddle.Tensor], label: str) -> dict[str, float]:
    return score(setup.task, run, setup.dev, setup.tokenizer.pad_token_id, label=label)


def result_rows(
    space: SearchSpace, teacher: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]
) -> list[SubModelRow]:
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


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "sub-model": "w: share of heads and FFN neurons, d: share of layers",
    "GFLOPs": "of a forward pass over 128 tokens",
    "difference": "score less the teacher's",
}


def printable(rows: Sequence[SubModelRow], teacher: Mapping[str, float]) -> list[dict[str, str]]:
    """The rows of `result_rows` for `reporting.table`, the teacher first. FLOPs are for 128 tokens."""
    full = rows[0]
    shown = [{"sub-model": "teacher", "parameters": "", "GFLOPs": "", **as_rounded(teacher), "difference": ""}]
    for row in rows:
        shown.append(
            {
                "sub-model": row["name"],
                "parameters": millions(row["parameters"]),
                "GFLOPs": f"{row['flops'] / 1e9:.2f}",
                **as_rounded(row["scores"]),
                "difference": f"{row['difference']:+.4f}",
            }
        )
    shown[0]["parameters"], shown[0]["GFLOPs"] = millions(full["parameters"]), f"{full['flops'] / 1e9:.2f}"
    return shown


def as_rounded(scores: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in scores.items() if name != "score" or len(scores) > 2}
