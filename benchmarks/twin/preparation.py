"""Before a supernet's first step: importance on the held-out part, reordering, and which layers a depth keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.numerics import Floats
from ofa_bert.submodels.layer_sets import (
    MOST_GAP,
    RULES,
    Layers,
    distinct,
    dropped_one_by_one,
)
from ofa_bert.submodels.values import scaled, uniform
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_trials import ChosenDepth, LayerChoice, LayerTrial, best_trial
from twin.net import Net
from twin.optimizer import AdamW
from twin.schedule import make_schedule, stream
from twin.scoring import Data, answers, scores_of
from twin.step import Objective, SupernetSteps, tensors

IMPORTANCE_BATCH, RANKED_ON = 32, 256  # as the product's
_SUMMED = ("self_attn.out_proj.weight", "linear1.weight", "linear1.bias", "linear2.weight")


@dataclass(frozen=True)
class Importance:
    """heads [layers, heads], neurons [layers, FFN neurons]."""

    heads: Floats
    neurons: Floats


def importance(net: Net, data: Data) -> Importance:
    """Mean over batches of the held-out part of |sum of w * dL/dw| over what belongs to a head or a neuron."""
    own, heads, neurons = net.copy().trainable(), [], []
    names = [f"encoder.layers.{layer}.{name}" for layer in range(net.shape.num_layers) for name in _SUMMED]
    weights = [own.weights[name] for name in names]
    for batch in eval_batches(data.held_out, IMPORTANCE_BATCH, net.pad_id):
        logits = own.forward(*tensors(batch, own), own.whole).logits
        loss = task_loss(logits, torch.from_numpy(batch.labels).to(own.device), data.regression)
        slopes = torch.autograd.grad(loss, weights)
        products = [(weight.detach().double() * slope.double()) for weight, slope in zip(weights, slopes)]
        layers = [products[start : start + len(_SUMMED)] for start in range(0, len(products), len(_SUMMED))]
        heads.append([out.view(net.shape.num_heads, -1).sum(1).abs().cpu().numpy() for out, *_ in layers])
        neurons.append([_of_neurons(*rest).cpu().numpy() for _, *rest in layers])
    return Importance(np.mean(heads, axis=0), np.mean(neurons, axis=0))


def _of_neurons(into: torch.Tensor, bias: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return (into.sum(0) + bias).abs() + out.sum(1).abs()


def task_loss(logits: torch.Tensor, labels: torch.Tensor, regression: bool) -> torch.Tensor:
    """Of logits [B, C] against the labels [B]."""
    return F.mse_loss(logits.squeeze(-1), labels) if regression else F.cross_entropy(logits, labels)


def reordered(net: Net, found: Importance) -> Net:
    """A copy whose heads and neurons descend in importance; its outputs are the same."""
    weights, size = dict(net.copy().weights), net.shape.head_dim
    for layer, (heads, neurons) in enumerate(zip(found.heads, found.neurons)):
        at = f"encoder.layers.{layer}."
        order = np.argsort(-heads, kind="stable")
        columns = (order[:, None] * size + np.arange(size)).ravel()
        for names, axis, places in (
            ([f"self_attn.{name}_proj.{leaf}" for name in "qkv" for leaf in ("weight", "bias")], -1, columns),
            (["self_attn.out_proj.weight"], 0, columns),
            (["linear1.weight", "linear1.bias"], -1, np.argsort(-neurons, kind="stable")),
            (["linear2.weight"], 0, np.argsort(-neurons, kind="stable")),
        ):
            taken = torch.from_numpy(places).to(net.device)
            for name in names:
                weights[at + name] = weights[at + name].index_select(axis, taken)
    return replace(net, weights=weights)


def choose_layers(job: SupernetJob, net: Net, teacher: Net, data: Data) -> LayerChoice:
    """The layers of every depth, as `layer_choice` says. net: what begins to be trained."""
    count, by = net.shape.num_layers, job.layer_choice
    depths = tuple(sorted(set(job.depth_mult_list), reverse=True))
    kept = [scaled(count, depth) for depth in depths]
    if by == "trial":
        tried = {keep: _trials(job, net, teacher, data, keep, min(kept)) for keep in kept if keep < count}
        chosen = [best_trial(tried[keep]).layers if keep < count else tuple(range(count)) for keep in kept]
        trials = [tuple(tried.get(keep, ())) for keep in kept]
        each = tuple(map(ChosenDepth, depths, chosen, trials))
        return LayerChoice(by, each, job.trial_steps, len(data.held_out))
    if by == "importance":
        dropped = dropped_one_by_one(count, min(kept), _distance(net, data, len(data.held_out)))
        return LayerChoice(by, tuple(map(ChosenDepth, depths, [dropped[keep] for keep in kept])))
    if by == "recorded":
        known = [_recorded(data, keep) if keep < count else None for keep in kept]
        layers = [own or RULES["even"](count, keep) for own, keep in zip(known, kept)]
        return LayerChoice("recorded" if any(known) else "even", tuple(map(ChosenDepth, depths, layers)))
    return LayerChoice(by, tuple(map(ChosenDepth, depths, [RULES[by](count, keep) for keep in kept])))


def _recorded(data: Data, keep: int) -> Layers | None:
    """Those that the encoder was pre-trained with, where it was in that depth."""
    elastic = data.directory.stated.record.elastic
    return elastic.layers(keep) if elastic else None


def _distance(net: Net, data: Data, examples: int) -> Callable[[Layers], float]:
    few = data.held_out.select(range(min(examples, len(data.held_out))))
    full = answers(net, net.whole, few)
    known: dict[Layers, float] = {}

    def distance(layers: Layers) -> float:
        if layers not in known:
            known[layers] = float(data.task.kind.distance(full, answers(net, uniform(net.shape, 1.0, layers), few)))
        return known[layers]

    return distance


def _trials(job: SupernetJob, net: Net, teacher: Net, data: Data, keep: int, least: int) -> list[LayerTrial]:
    """Every set of `keep` layers, trained for a short while from the same start on the same batches."""
    count, cost = net.shape.num_layers, _distance(net, data, RANKED_ON)
    named = {name: rule(count, keep) for name, rule in RULES.items()}
    recorded = _recorded(data, keep)
    named |= {"recorded": recorded} if recorded else {}
    named["importance"] = dropped_one_by_one(count, least, cost)[keep]
    named["importance without gaps"] = dropped_one_by_one(count, least, cost, MOST_GAP)[keep]
    full = answers(teacher, teacher.whole, data.held_out)
    found = []
    for name, layers in distinct(named).items():
        trained = _tried(job, net, teacher, data, layers)
        own = answers(trained, uniform(net.shape, 1.0, layers), data.held_out)
        score = scores_of(data.task, [own], [data.held_out.labels])["score"]
        found.append(LayerTrial(name, layers, score, float(data.task.kind.distance(full, own))))
    return found


def _tried(job: SupernetJob, start: Net, teacher: Net, data: Data, layers: Sequence[int]) -> Net:
    settings = replace(job.loop, max_steps=job.trial_steps)
    batches = data.batches(job)
    schedule = make_schedule(settings, batches.steps_per_epoch)
    net = start.copy().trainable(*data.dropout(job))
    used = {name: weight for name, weight in net.weights.items() if _belongs(name, layers)}
    optimizer, objective = AdamW(used, job.optimizer), Objective.of(job, data.task.kind_name)
    steps = SupernetSteps(net, teacher, objective, optimizer, schedule, job.optimizer.learning_rate)
    only = (uniform(net.shape, 1.0, tuple(layers)),)
    for number, batch in zip(range(schedule.steps), stream(batches)):
        steps(batch, number, only)
    return net.evaluated()


def _belongs(name: str, layers: Sequence[int]) -> bool:
    """Whether a weight is outside of the layers or in one of these."""
    return not name.startswith("encoder.layers.") or int(name.split(".")[2]) in layers
