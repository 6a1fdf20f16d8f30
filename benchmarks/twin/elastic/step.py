"""The step of an encoder that learns to be shallow from itself, and how far from itself it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.elastic_plan import relation_heads, shares
from twin.graphs import Losses, Replayed
from twin.net import Net
from twin.optimizer import AdamW
from twin.step import hidden_loss, matched, relation_loss, tensors, token_weights, update


class Seen(NamedTuple):
    """The states [B, T, H] after each kept layer; queries, keys, values [B, T, A] of the last one."""

    hidden: tuple[torch.Tensor, ...]
    projections: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class ElasticObjective:
    """state * hidden-state loss + relation * relation loss, against the encoder as it came.

    heads: of the relations. full: as of `shares`.

    matching, relations: wrong ones, to see that a comparison finds it: a kept layer learns the state after itself,
    relations lack the root of their width.
    """

    state: float
    relation: float
    heads: int
    full: float = 1.0
    matching: bool = False
    relations: bool = False

    @classmethod
    def of(cls, job: ElasticJob, net: Net, plant: str | None = None) -> ElasticObjective:
        heads = relation_heads(job, net.shape)
        full = job.full_depth_weight
        return cls(job.state_weight, job.relation_weight, heads, full, plant == "matching", plant == "relations")

    def parts(
        self, own: Seen, teacher: Seen, mask: torch.Tensor, weights: torch.Tensor, layers: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        """mask: additive [B, 1, 1, T]; weights [B, T, 1] as of `token_weights`. layers: those that are kept."""
        found = {}
        if self.state:
            followed = list(layers) if self.matching else matched(layers, len(teacher.hidden))
            found["state"] = hidden_loss(own.hidden, teacher.hidden, weights, followed)
        if self.relation:
            pairs = zip(own.projections, teacher.projections, strict=True)
            found["relation"] = sum(
                relation_loss(one, other, self.heads, mask, weights, not self.relations) for one, other in pairs
            )
        return found

    def total(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        weight = {"state": self.state, "relation": self.relation}
        return sum(weight[name] * loss for name, loss in parts.items())


def seen(net: Net, embedded: torch.Tensor, mask: torch.Tensor, sub_model: SubModelConfig) -> Seen:
    hidden = net.states(embedded, mask, sub_model)
    entering = hidden[-2] if len(hidden) > 1 else embedded  # [B, T, H]
    return Seen(hidden, net.projections(entering, sub_model.layers[-1]))


def learning(net: Net, objective: ElasticObjective) -> dict[str, torch.Tensor]:
    """The weights that get a gradient: no others decay."""
    found = {name: weight for name, weight in net.weights.items() if name.startswith(("embeddings.", "encoder."))}
    if objective.state:
        return found
    # Relations alone: of the last layer, which ends every sub-model that has it, queries, keys and values are used.
    last = f"encoder.layers.{net.shape.num_layers - 1}."
    used = tuple(f"{last}self_attn.{part}_proj." for part in "qkv")
    return {name: weight for name, weight in found.items() if not name.startswith(last) or name.startswith(used)}


class ElasticSteps:
    """Trains `net` towards `teacher`. autocast: layers compute in bfloat16, losses and optimizer in float32."""

    def __init__(
        self, net: Net, teacher: Net, objective: ElasticObjective, optimizer: AdamW, autocast: bool = False
    ) -> None:
        self.net, self.teacher, self.objective = net, teacher, objective
        self.optimizer, self.autocast = optimizer, autocast
        self._run = Replayed(self._work, optimizer.state) if net.device.type == "cuda" else self._work

    def __call__(self, batch: Batch, step: int, rate: float, sub_models: tuple[SubModelConfig, ...]) -> Losses:
        """Of each sub-model "state" and "relation", without their weights."""
        self.optimizer.prepare(step, rate)
        return self._run(tensors(batch, self.net), sub_models)

    def _work(self, inputs: tuple[torch.Tensor, ...], sub_models: tuple[SubModelConfig, ...]) -> Losses:
        ids, types = inputs
        mask, weights = self.net.mask(ids), token_weights(ids, self.net.pad_id)
        with torch.autocast(self.net.device.type, torch.bfloat16, self.autocast):
            with torch.no_grad():
                wanted = seen(self.teacher, self.teacher.embed(ids, types), mask, self.teacher.whole)
            embedded = self.net.embed(ids, types)
            each = [seen(self.net, embedded, mask, sub_model) for sub_model in sub_models]
        found = [
            self.objective.parts(own, wanted, mask, weights, sub_model.layers)
            for own, sub_model in zip(each, sub_models)
        ]
        totals = zip(shares(sub_models, self.objective.full), map(self.objective.total, found))
        update(sum(share * total for share, total in totals) / len(found), self.optimizer)
        return [{name: loss.detach() for name, loss in parts.items()} for parts in found]


@torch.no_grad()
def distances(
    net: Net,
    teacher: Net,
    objective: ElasticObjective,
    sub_models: Mapping[str, SubModelConfig],
    batches: Sequence[Batch],
) -> dict[str, dict[str, float]]:
    """Name -> how far that sub-model is from the teacher, the mean over texts: loss, its parts, last_state."""
    net, count = net.evaluated(), sum(len(batch.input_ids) for batch in batches)
    found: dict[str, dict[str, float]] = {name: {} for name in sub_models}
    for batch in batches:
        ids, types = tensors(batch, net)
        mask, weights, share = net.mask(ids), token_weights(ids, net.pad_id), len(ids) / count
        wanted = seen(teacher, teacher.embed(ids, types), mask, teacher.whole)
        for name, sub_model in sub_models.items():
            own = seen(net, net.embed(ids, types), mask, sub_model)
            parts = objective.parts(own, wanted, mask, weights, sub_model.layers)
            last = hidden_loss(own.hidden[-1:], wanted.hidden, weights, [-1])
            for part, value in {"loss": objective.total(parts), **parts, "last_state": last}.items():
                found[name][part] = found[name].get(part, 0.0) + share * float(value)
    return found
