"""Which layers a shallower sub-model keeps: by a rule, or measured instead of assumed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.batches import Batch, Encoded
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.supernet import forward
from ofa_bert.progress import Progress
from ofa_bert.submodels.layer_sets import (
    LEAST_GAP,
    Layers,
    distinct,
    dropped_one_by_one,
    lower_layers,
    prefix_layers,
    upper_layers,
)
from ofa_bert.submodels.values import even_layers, scaled, uniform
from ofa_bert.tasks.kinds.base import TaskKind
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import predict
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_trials import ChosenDepth, LayerChoice, best_trial
from ofa_bert.training.supernet.trial import Trials

logger = logging.getLogger(__name__)


def choose_layers(job: SupernetJob, setup: TrainingSetup, trials: Callable[[], Trials]) -> LayerChoice:
    """The layers of every depth of the job, as its `layer_choice` says; dev is never looked at.

    The sets of several depths are chosen apart: nothing needs a shallower one to be part of a deeper one.
    trials: made where sets of layers are tried.
    """
    count = shape_of(setup.model).num_layers
    depths = tuple(sorted(set(job.depth_mult_list), reverse=True))
    kept = [scaled(count, depth) for depth in depths]
    pad_id, kind = setup.tokenizer.pad_token_id, setup.task.kind
    if job.layer_choice == "trial" and min(kept) < count:
        choice = _by_trial(job, setup, trials(), depths)
    else:
        if job.layer_choice == "importance":
            setup.model.eval()
            found = layers_by_importance(setup.model, setup.measured, pad_id, depths, kind)
        elif job.layer_choice == "prefix":
            found = tuple(prefix_layers(count, keep) for keep in kept)
        else:
            found = tuple(even_layers(count, depth) for depth in depths)
        choice = LayerChoice(job.layer_choice, tuple(map(ChosenDepth, depths, found)))
    for depth in choice.depths:
        if len(depth.layers) < count:
            why = (
                f": {best_trial(depth.trials).name}, the best of {len(depth.trials)} in a trial" if depth.trials else ""
            )
            logger.info("depth %.4g keeps layers %s%s", depth.depth_mult, " ".join(map(str, depth.layers)), why)
    return choice


def _by_trial(job: SupernetJob, setup: TrainingSetup, trials: Trials, depths: tuple[float, ...]) -> LayerChoice:
    count = shape_of(setup.model).num_layers
    kept = [scaled(count, depth) for depth in depths]
    setup.model.eval()
    cost = distance_from_full(setup.model, setup.measured, setup.tokenizer.pad_token_id, setup.task.kind)
    least = min(kept)
    free = dropped_one_by_one(count, least, cost)
    close = dropped_one_by_one(count, least, cost, LEAST_GAP)
    found = []
    for depth, keep in zip(depths, kept):
        named = {
            "even": even_layers(count, depth),
            "lower": lower_layers(count, keep),
            "upper": upper_layers(count, keep),
            "prefix": prefix_layers(count, keep),
            "importance": free[keep],
            "importance without gaps": close[keep],
        }
        if keep == count:
            found.append(ChosenDepth(depth, free[count]))
            continue
        tried = [trials.of(name, layers) for name, layers in distinct(named).items()]
        for trial in tried:
            logger.info("depth %.4g, %d steps of %s", depth, job.trial_steps, trial)
        found.append(ChosenDepth(depth, best_trial(tried).layers, tuple(tried)))
    return LayerChoice("trial", tuple(found), job.trial_steps, len(setup.measured))


def distance_from_full(model: nn.Layer, encoded: Encoded, pad_id: int, kind: TaskKind) -> Callable[[Layers], float]:
    """Layers -> the kind's distance of the outputs of the model with these alone from those of all, without labels."""
    shape = shape_of(model)

    def outputs(layers: Layers) -> np.ndarray:
        sub_model = uniform(shape, 1.0, layers)

        def run(batch: Batch) -> paddle.Tensor:
            return forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits

        return predict(run, encoded, shape.num_labels, pad_id)

    full = outputs(tuple(range(shape.num_layers)))

    @cache
    def distance(layers: Layers) -> float:
        return kind.distance(full, outputs(layers))

    return distance


def layers_by_importance(
    model: nn.Layer, encoded: Encoded, pad_id: int, depth_mults: tuple[float, ...], kind: TaskKind
) -> tuple[Layers, ...]:
    """The layers to keep for each depth: from all, drop one at a time the layer whose loss hurts the outputs least.

    The hurt is the kind's distance of the shallower model's outputs from the full model's on `encoded`, so no label is
    used.
    """
    count = shape_of(model).num_layers
    wanted = [scaled(count, depth) for depth in depth_mults]
    distance = distance_from_full(model, encoded, pad_id, kind)
    trials = sum(range(min(wanted) + 1, count + 1))
    with Progress(total=trials, desc="choose layers", unit="trial", disable=not distributed.is_main()) as bar:

        def cost(layers: Layers) -> float:
            bar.update()
            return distance(layers)

        found = dropped_one_by_one(count, min(wanted), cost)
    return tuple(found[keep] for keep in wanted)
