"""Which layers a shallower sub-model keeps: by a rule, or measured instead of assumed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.supernet import forward
from ofa_bert.progress import Progress
from ofa_bert.submodels.elastic_record import ElasticRecord
from ofa_bert.submodels.layer_sets import (
    MOST_GAP,
    RULES,
    Layers,
    distinct,
    dropped_one_by_one,
)
from ofa_bert.submodels.values import scaled, uniform
from ofa_bert.tasks.kinds.base import TaskKind
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import predict
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_trials import ChosenDepth, LayerChoice, LayerTrial, best_trial
from ofa_bert.training.supernet.trial import Trials

logger = logging.getLogger(__name__)

RANKED_ON = 256  # held-out examples that layers are ranked on where trials decide


def choose_layers(job: SupernetJob, setup: TrainingSetup, trials: Callable[[], Trials]) -> LayerChoice:
    """The layers of every depth of the job, as its `layer_choice` says; dev is never looked at.

    The sets of several depths are chosen apart: nothing needs a shallower one to be part of a deeper one.
    trials: made where sets of layers are tried.
    """
    count, by = shape_of(setup.model).num_layers, job.layer_choice
    depths = tuple(sorted(set(job.depth_mult_list), reverse=True))
    kept = [scaled(count, depth) for depth in depths]
    setup.model.eval()
    if by == "trial":
        tried = _tried(setup, trials, kept, job.trial_steps) if min(kept) < count else {}
        each = [_depth(depth, tried.get(keep, []), count) for depth, keep in zip(depths, kept)]
        choice = LayerChoice(by, tuple(each), job.trial_steps, setup.measured.examples)
    elif by == "importance":
        pad_id, kind = setup.tokenizer.pad_token_id, setup.task.kind
        ranked = layers_by_importance(setup.model, setup.measured, pad_id, depths, kind)
        choice = LayerChoice(by, tuple(map(ChosenDepth, depths, ranked)))
    elif by == "recorded":
        choice = _recorded(setup.record.elastic, depths, count)
    else:
        choice = LayerChoice(by, tuple(map(ChosenDepth, depths, [RULES[by](count, keep) for keep in kept])))
    for depth in choice.depths:
        if len(depth.layers) < count:
            logger.info("depth %.4g keeps layers %s", depth.depth_mult, depth)
    return choice


def _recorded(elastic: ElasticRecord | None, depths: Sequence[float], count: int) -> LayerChoice:
    """The layers that the encoder was pre-trained with, where it was in that depth; evenly spaced ones elsewhere."""
    kept = [scaled(count, depth) for depth in depths]
    known = {keep: elastic.layers(keep) for keep in kept if keep < count} if elastic else {}
    if any(known.values()):
        logger.info("layers: those that the encoder was pre-trained with; `layer_choice` takes others")
    each = [known.get(keep) or RULES["even"](count, keep) for keep in kept]
    return LayerChoice("recorded" if any(known.values()) else "even", tuple(map(ChosenDepth, depths, each)))


def _depth(depth_mult: float, trials: Sequence[LayerTrial], count: int) -> ChosenDepth:
    """The best of the trials; all layers where there were none to try."""
    layers = best_trial(trials).layers if trials else tuple(range(count))
    return ChosenDepth(depth_mult, layers, tuple(trials))


def _tried(
    setup: TrainingSetup, make: Callable[[], Trials], kept: Sequence[int], steps: int
) -> dict[int, list[LayerTrial]]:
    """Layers to keep -> the trial of every set of so many."""
    count, trials, elastic = shape_of(setup.model).num_layers, make(), setup.record.elastic
    few = setup.measured.take(range(min(RANKED_ON, setup.measured.examples)))
    cost = distance_from_full(setup.model, few, setup.tokenizer.pad_token_id, setup.task.kind)
    free = _dropped(count, min(kept), cost)
    close = _dropped(count, min(kept), cost, MOST_GAP)
    found: dict[int, list[LayerTrial]] = {}
    for keep in sorted({keep for keep in kept if keep < count}, reverse=True):
        named = {name: rule(count, keep) for name, rule in RULES.items()}
        recorded = elastic.layers(keep) if elastic else None
        named |= {"recorded": recorded} if recorded else {}
        named |= {"importance": free[keep], "importance without gaps": close[keep]}
        found[keep] = []
        for name, layers in distinct(named).items():
            found[keep].append(trials.of(name, layers))
            logger.info("%d layers, after %d steps: %s", keep, steps, found[keep][-1])
    return found


def distance_from_full(model: nn.Layer, encoded: Encoded, pad_id: int, kind: TaskKind) -> Callable[[Layers], float]:
    """Layers -> the kind's distance of the outputs of the model with these alone from those of all, without labels."""
    shape = shape_of(model)

    def outputs(layers: Layers) -> np.ndarray:
        sub_model = uniform(shape, 1.0, layers)

        def run(batch: Batch) -> paddle.Tensor:
            return forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits

        return encoded.by_example(predict(run, encoded, shape.num_labels, pad_id))

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
    found = _dropped(count, min(wanted), distance)
    return tuple(found[keep] for keep in wanted)


def _dropped(count: int, keep: int, cost: Callable[[Layers], float], most_gap: int | None = None) -> dict[int, Layers]:
    """`dropped_one_by_one` with a bar."""
    trials = sum(range(keep + 1, count + 1))
    with Progress(total=trials, desc="choose layers", unit="set", disable=not distributed.is_main()) as bar:

        def counted(layers: Layers) -> float:
            bar.update()
            return cost(layers)

        return dropped_one_by_one(count, keep, counted, most_gap)
