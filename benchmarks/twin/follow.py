"""The twin's side of a comparison: everything computed anew from the same weights, on the batches of the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.files.weights import write_weights
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.settings import OptimizerSettings
from twin.command_line import Told, limited
from twin.directory import read_directory
from twin.net import Net
from twin.optimizer import AdamW
from twin.preparation import Importance, choose_layers, importance, reordered
from twin.record import IMPORTANCE, PRODUCT, TWIN, TWIN_END, TWIN_START, Step, read_steps
from twin.schedule import stream, supernet_schedule, trained
from twin.scoring import Data
from twin.step import Objective, SupernetSteps
from twin.supernet import scores, space_of

_WRONG_DECAY = 1.0  # of a planted mistake


def follow(told: Told, folder: Path) -> None:
    job, plant = told.job(), told.own.plant
    datasets = limited(job.data.load(), told.own.examples)
    directory = read_directory(job.model.model_name_or_path, datasets.task)
    if not directory.finetuned:
        raise UserError(f"{directory.where}: is an encoder without a classifier; finetune it with run_glue.py")
    data, teacher, steps = Data.of(job, datasets, directory), Net.of(directory, "cpu"), read_steps(folder)
    layers, own = choose_layers(job, teacher, teacher, data), importance(teacher, data)
    space = space_of(job, teacher, layers)
    # By the product's numbers: two neurons that are all but equal may change places in ours.
    net = reordered(teacher, _importance(folder))
    write_weights(folder / TWIN_START, net.arrays())
    net.trainable()
    schedule = replace(supernet_schedule(job, data.batches(job).steps_per_epoch), planted=plant == "schedule")
    objective = Objective.of(job, datasets.task.kind_name, planted=plant == "matching")
    optimizer = AdamW(net.weights, planted(job.optimizer, plant))
    train = SupernetSteps(net, teacher, objective, optimizer, schedule, job.optimizer.learning_rate)
    losses = [train(step.batch, number, step.sub_models) for number, step in enumerate(steps)]
    write_weights(folder / TWIN_END, net.arrays())
    drawn = [trained(job, space, schedule, number) for number in range(len(steps))]
    answer: Mapping[str, object] = {
        "layer_choice": layers.to_json(),
        "importance": {"heads": own.heads.tolist(), "neurons": own.neurons.tolist()},
        "losses": [[{name: float(loss) for name, loss in each.items()} for each in step] for step in losses],
        "other_batches": sum(not _same(step, batch) for step, batch in zip(steps, stream(data.batches(job)))),
        "other_sub_models": sum(step.sub_models != own for step, own in zip(steps, drawn)),
        "names": [[_name(space, each) for each in step.sub_models] for step in steps],
        "teacher": data.scores(teacher, teacher.whole),
        "scores": scores(data, net, space),
    }
    write_json_atomic(folder / TWIN, answer)


def _importance(folder: Path) -> Importance:
    told = read_object(folder / PRODUCT / IMPORTANCE)
    return Importance(np.asarray(told["heads"]), np.asarray(told["neurons"]))


def planted(settings: OptimizerSettings, plant: str | None) -> OptimizerSettings:
    if plant == "weight_decay":
        return replace(settings, weight_decay=settings.weight_decay + _WRONG_DECAY)
    return replace(settings, max_grad_norm=0.0) if plant == "clipping" else settings


def _same(step: Step, own: Batch) -> bool:
    given = step.batch
    names = ("input_ids", "token_type_ids", "labels", "index")
    return all(np.array_equal(getattr(given, name), getattr(own, name)) for name in names)


def _name(space: SearchSpace, sub_model: SubModelConfig) -> str:
    return next((name for name, each in space.sub_models().items() if each == sub_model), str(sub_model.to_json()))
