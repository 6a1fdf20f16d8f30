"""A supernet's step: what a sub-model is trained for, one backward for the mean over the step's sub-models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.supernet.job import SupernetJob
from twin.graphs import Losses, Replayed
from twin.net import Net, Output
from twin.optimizer import AdamW
from twin.schedule import Schedule

BUCKET = 32  # lengths are padded to multiples of it: a CUDA graph for each


@dataclass(frozen=True)
class Tried:
    """What the product does not do, tried for what it brings. relation: weight of a MiniLMv2 loss on the last layer's
    queries, keys and values; shallow: what a sub-model with fewer layers counts, where the others count 1."""

    relation: float = 0.0
    shallow: float = 1.0


NOTHING = Tried()


@dataclass(frozen=True)
class Objective:
    """What a sub-model is trained for: lambda_logit * logit loss + lambda_rep * hidden-state loss, against the teacher.

    planted: a wrong one, to see that a comparison finds it: a kept layer learns the state after itself.
    """

    regression: bool
    lambda_logit: float
    lambda_rep: float
    planted: bool = False
    tried: Tried = NOTHING

    @classmethod
    def of(cls, job: SupernetJob, kind: str, planted: bool = False, tried: Tried = NOTHING) -> Objective:
        return cls(kind == "regression", job.lambda_logit, job.lambda_rep, planted, tried)

    def parts(
        self, own: Output, teacher: Output, weights: torch.Tensor, layers: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        """weights [B, T, 1]: of tokens. layers: of the teacher, that the sub-model keeps."""
        found = {}
        if self.lambda_logit:
            found["logit"] = self._logit(own.logits, teacher.logits)
        if self.lambda_rep:
            followed = list(layers) if self.planted else matched(layers, len(teacher.hidden))
            found["hidden"] = hidden_loss(own.hidden, teacher.hidden, weights, followed)
        return found

    def total(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        weight = {"logit": self.lambda_logit, "hidden": self.lambda_rep, "relation": self.tried.relation}
        return sum(weight[name] * loss for name, loss in parts.items())

    def _logit(self, own: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        if self.regression:
            return F.mse_loss(own, teacher)
        return -(teacher.softmax(-1) * own.log_softmax(-1)).sum(-1).mean()


class SupernetSteps:
    """Trains `net` towards `teacher`. rate: the peak learning rate."""

    def __init__(self, net: Net, teacher: Net, objective: Objective, optimizer: AdamW, schedule: Schedule, rate: float):
        self.net, self.teacher, self.objective = net, teacher, objective
        self.optimizer, self.schedule, self.rate = optimizer, schedule, rate
        self._run = Replayed(self._work, optimizer.state) if net.device.type == "cuda" else self._work

    def __call__(self, batch: Batch, step: int, sub_models: tuple[SubModelConfig, ...]) -> Losses:
        """Of each sub-model "logit" and "hidden", without their weights."""
        self.optimizer.prepare(step, self.rate * self.schedule.factor(step))
        ids, types = tensors(batch, self.net)
        return self._run((ids, types), sub_models)

    def _work(self, inputs: tuple[torch.Tensor, ...], sub_models: tuple[SubModelConfig, ...]) -> Losses:
        ids, types = inputs
        with torch.no_grad():
            wanted, weights = self.teacher.forward(ids, types, self.teacher.whole), token_weights(ids, self.net.pad_id)
            mask = self.net.mask(ids)
        embedded = self.net.embed(ids, types)
        answers = [self.net.encode(embedded, mask, each) for each in sub_models]
        found = [self.objective.parts(own, wanted, weights, each.layers) for own, each in zip(answers, sub_models)]
        if self.objective.tried.relation:
            for parts, own, each in zip(found, answers, sub_models):
                parts["relation"] = self._relation(own, each, wanted, mask, weights)
        count = [self.objective.tried.shallow if len(each.layers) < len(wanted.hidden) else 1.0 for each in sub_models]
        totals = zip(count, map(self.objective.total, found))
        update(sum(share * total for share, total in totals) / sum(count), self.optimizer)
        return [{name: loss.detach() for name, loss in parts.items()} for parts in found]

    def _relation(
        self, own: Output, sub_model: SubModelConfig, wanted: Output, mask: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Of the heads that the sub-model has in its last layer, from the teacher's same heads in its own last one."""
        heads = sub_model.heads[-1]
        width = heads * self.net.shape.head_dim
        pairs = zip(
            self.net.projections(own.hidden[-2], sub_model.layers[-1]),
            self.teacher.projections(wanted.hidden[-2], len(wanted.hidden) - 1),
        )
        return sum(relation_loss(a[..., :width], b[..., :width], heads, mask, weights) for a, b in pairs)


def token_weights(ids: torch.Tensor, pad_id: int) -> torch.Tensor:
    """[B, T, 1]: those of a text's tokens sum to 1/B, of padding to 0."""
    real = (ids != pad_id).float()  # [B, T]
    return (real / real.sum(1, keepdim=True) / len(ids)).unsqueeze(-1)


def hidden_loss(
    own: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], weights: torch.Tensor, followed: Sequence[int]
) -> torch.Tensor:
    """Mean squared differences of states [B, T, H] from those of the teacher's layers `followed`, summed over layers.

    weights: as of `token_weights`.
    """
    apart = [(state - teacher[place]) ** 2 for state, place in zip(own, followed, strict=True)]
    return sum((each * weights).sum() / each.shape[-1] for each in apart)


def relation_loss(
    own: torch.Tensor, teacher: torch.Tensor, heads: int, mask: torch.Tensor, weights: torch.Tensor, scaled: bool = True
) -> torch.Tensor:
    """KL(teacher || own) between each token's relations to the others, the mean over heads (MiniLMv2).

    own, teacher: projections [B, T, A] that `heads` divides. mask: additive [B, 1, 1, T]. scaled: False is a mistake.
    """

    def related(projected: torch.Tensor) -> torch.Tensor:
        """Logarithms [B, heads, T, T], in float32 whatever the layers compute in."""
        x = projected.float().unflatten(-1, (heads, -1)).transpose(1, 2)  # [B, heads, T, d]
        scale = x.shape[-1] ** -0.5 if scaled else 1.0
        return ((x * scale) @ x.transpose(-1, -2) + mask).log_softmax(-1)

    found, right = related(own), related(teacher)
    return ((right.exp() * (right - found)).sum(-1).mean(1) * weights.squeeze(-1)).sum()


def matched(layers: Sequence[int], count: int) -> list[int]:
    """For each kept layer of `count` the one before the next kept layer, whose state it has to reach."""
    return [*(layer - 1 for layer in layers[1:]), count - 1]


def update(loss: torch.Tensor, optimizer: AdamW) -> None:
    """One optimizer step; a weight that the loss does not need gets a gradient of zeros."""
    optimizer.apply(torch.autograd.grad(loss, optimizer.weights, materialize_grads=True, allow_unused=True))


def tensors(batch: Batch, net: Net) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and types [B, T] on the net's device, T a multiple of BUCKET where the model has positions for that."""
    length = batch.input_ids.shape[1]
    more = min(-length % BUCKET, net.shape.max_positions - length)
    ids, types = (torch.from_numpy(array) for array in (batch.input_ids, batch.token_type_ids))
    return F.pad(ids, (0, more), value=net.pad_id).to(net.device), F.pad(types, (0, more)).to(net.device)
