"""The twin's side of a comparison: from the same encoder, on the batches of the product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.weights import write_weights
from twin.elastic.command_line import ElasticTold
from twin.elastic.setup import Setup
from twin.elastic.step import ElasticObjective, ElasticSteps, distances, learning
from twin.follow import planted
from twin.net import Net
from twin.optimizer import AdamW
from twin.record import TWIN, TWIN_END, TWIN_START, read_steps
from twin.schedule import make_schedule, stream


def follow(told: ElasticTold, folder: Path) -> None:
    job, plant = told.job(), told.own.plant
    setup, steps = Setup.of(job), read_steps(folder)
    net = Net.of(setup.directory, "cpu")
    teacher, held_out, sub_models = net.copy(), setup.corpus.held_out(), setup.sub_models
    write_weights(folder / TWIN_START, net.arrays())
    net = net.trainable()
    objective = ElasticObjective.of(job, net, plant)
    begun = distances(net, teacher, objective, sub_models, held_out)
    schedule = replace(make_schedule(job.loop, setup.corpus.steps_per_epoch), planted=plant == "schedule")
    train = ElasticSteps(net, teacher, objective, AdamW(learning(net, objective), planted(job.optimizer, plant)))
    losses = []
    for number, step in enumerate(steps):
        found = train(step.batch, number, job.optimizer.learning_rate * schedule.factor(number), step.sub_models)
        losses.append([{name: float(loss) for name, loss in each.items()} for each in found])
    write_weights(folder / TWIN_END, net.arrays())
    names = {sub_model: name for name, sub_model in sub_models.items()}
    drawn = zip(steps, stream(setup.corpus))
    answer: dict[str, object] = {
        "kept_layers": {name: list(sub_model.layers) for name, sub_model in sub_models.items()},
        "losses": losses,
        "names": [[names.get(each, str(each.to_json())) for each in step.sub_models] for step in steps],
        "other_batches": sum(not np.array_equal(step.batch.input_ids, own.input_ids) for step, own in drawn),
        "other_sub_models": sum(step.sub_models != tuple(sub_models.values()) for step in steps),
        "start": begun,
        "last": distances(net, teacher, objective, sub_models, held_out),
    }
    write_json_atomic(folder / TWIN, answer)
