"""One supernet, trained by the twin from a teacher's weights."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.progress import Progress
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_trials import LayerChoice
from twin.net import Net
from twin.optimizer import AdamW
from twin.preparation import choose_layers, importance, reordered
from twin.schedule import stream, supernet_schedule, trained
from twin.scoring import Data
from twin.step import NOTHING, Objective, SupernetSteps, Tried


@dataclass(frozen=True)
class Trained:
    """scores: of every sub-model on dev, after the last step."""

    net: Net
    space: SearchSpace
    layers: LayerChoice
    steps: int
    scores: dict[str, dict[str, float]]


def space_of(job: SupernetJob, net: Net, layers: LayerChoice) -> SearchSpace:
    return SearchSpace(net.shape, job.width_mult_list, layers.depth_mults, layers.kept_layers)


def train_supernet(job: SupernetJob, data: Data, start: Net, teacher: Net, tried: Tried = NOTHING) -> Trained:
    """start: the finetuned weights that it begins with; its teacher may be another model of that shape."""
    layers = choose_layers(job, start, teacher, data)
    space, batches = space_of(job, start, layers), data.batches(job)
    order = importance(start, data)
    net = reordered(start, order).trainable(*data.dropout(job))
    if tried.relation:
        teacher = reordered(teacher, order)  # it answers the same; head by head they can be compared
    schedule = supernet_schedule(job, batches.steps_per_epoch)
    optimizer, objective = AdamW(net.weights, job.optimizer), Objective.of(job, data.task.kind_name, tried=tried)
    steps = SupernetSteps(net, teacher, objective, optimizer, schedule, job.optimizer.learning_rate)
    with Progress(total=schedule.steps, desc="supernet", unit="step") as bar:
        for number, batch in zip(range(schedule.steps), stream(batches)):
            steps(batch, number, trained(job, space, schedule, number))
            bar.update()
    return Trained(net, space, layers, schedule.steps, scores(data, net, space))


def scores(data: Data, net: Net, space: SearchSpace) -> dict[str, dict[str, float]]:
    evaluated = net.evaluated()
    return {name: data.scores(evaluated, sub_model) for name, sub_model in space.sub_models().items()}
