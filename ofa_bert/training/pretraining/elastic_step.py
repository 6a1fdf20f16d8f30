"""The step of an encoder that learns to be shallow from itself, and what is measured of it: nothing about a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.models.encoder import attention_mask, backbone, embed, encoder_layers
from ofa_bert.models.operators import linear
from ofa_bert.models.supernet import run_layers, whole
from ofa_bert.progress import Progress
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.loop import Step
from ofa_bert.training.losses.distillation import hidden_loss, match_layers, token_weights
from ofa_bert.training.losses.relations import relation_loss
from ofa_bert.training.pretraining.elastic_plan import shares
from ofa_bert.training.supernet.step import Loss, over_sub_models


class Seen(NamedTuple):
    """Of one batch: the states [B, T, H] after each kept layer; queries, keys, values [B, T, A] of the last one."""

    hidden: tuple[paddle.Tensor, ...]
    projections: tuple[paddle.Tensor, ...]


class Text(NamedTuple):
    """What losses need of a batch: the additive mask [B, 1, 1, T], and weights [B, T, 1] as of `token_weights`."""

    mask: paddle.Tensor
    weights: paddle.Tensor


@dataclass(frozen=True)
class ElasticObjective:
    """state * hidden-state loss + relation * relation loss; heads: of the relations. full: as of `shares`."""

    state: float
    relation: float
    heads: int
    full: float = 1.0

    def loss(self, own: Seen, wanted: Seen, text: Text, sub_model: SubModelConfig) -> Loss:
        total, parts = 0.0, {}
        if self.state:
            matched = [wanted.hidden[i] for i in match_layers(sub_model.layers, len(wanted.hidden))]
            state = hidden_loss(own.hidden, matched, text.weights)
            total, parts["state"] = total + self.state * state, state.item()
        if self.relation:
            relation = relation_loss(own.projections, wanted.projections, self.heads, text.mask, text.weights)
            total, parts["relation"] = total + self.relation * relation, relation.item()
        return total, parts


def elastic_step(
    model: nn.Layer, teacher: nn.Layer, objective: ElasticObjective, sub_models: Sequence[SubModelConfig]
) -> Step:
    """A training step for `loop.fit`: the teacher, in eval mode, answers once, then every sub-model learns from it."""
    counted = dict(zip(sub_models, shares(sub_models, objective.full)))

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        with paddle.no_grad():
            text = _text_of(model, batch)
            wanted = _seen(teacher, _embedded(teacher, batch), text, whole(teacher))

        def loss_of(entering: paddle.Tensor, sub_model: SubModelConfig) -> Loss:
            loss, parts = objective.loss(_seen(model, entering, text, sub_model), wanted, text, sub_model)
            return counted[sub_model] * loss, parts

        return over_sub_models(_embedded(model, batch), sub_models, loss_of, backward)

    return step


def distances(
    model: nn.Layer,
    teacher: nn.Layer,
    objective: ElasticObjective,
    sub_models: Mapping[str, SubModelConfig],
    batches: Sequence[Batch],
    label: str = "",
) -> dict[str, dict[str, float]]:
    """Name -> how far that sub-model is from the teacher, the mean over texts; all processes compute it.

    loss: what is trained for; state, relation: its parts; last_state: of the last layer alone, which a head reads.
    """
    was_training = model.training
    model.eval()
    found: dict[str, dict[str, float]] = {name: {} for name in sub_models}
    count = sum(len(batch.input_ids) for batch in batches)
    hidden = not (label and distributed.is_main())
    with paddle.no_grad():
        for batch in map(to_tensors, Progress(batches, desc=label, unit="batch", leave=False, disable=hidden)):
            text, share = _text_of(model, batch), len(batch.input_ids) / count
            wanted = _seen(teacher, _embedded(teacher, batch), text, whole(teacher))
            for name, sub_model in sub_models.items():
                own = _seen(model, _embedded(model, batch), text, sub_model)
                loss, parts = objective.loss(own, wanted, text, sub_model)
                last = hidden_loss(own.hidden[-1:], wanted.hidden[-1:], text.weights)
                for part, value in {"loss": loss.item(), **parts, "last_state": last.item()}.items():
                    found[name][part] = found[name].get(part, 0.0) + share * value
    if was_training:
        model.train()
    return found


def _embedded(model: nn.Layer, batch: Batch) -> paddle.Tensor:
    return embed(model, batch.input_ids, batch.token_type_ids)  # [B, T, H]


def _text_of(model: nn.Layer, batch: Batch) -> Text:
    tokens = (batch.input_ids != backbone(model).pad_token_id).astype(paddle.get_default_dtype())  # [B, T]
    return Text(attention_mask(model, batch.input_ids), token_weights(tokens))


def _seen(model: nn.Layer, embedded: paddle.Tensor, text: Text, sub_model: SubModelConfig) -> Seen:
    hidden = run_layers(model, embedded, text.mask, sub_model)
    attention = encoder_layers(model)[sub_model.layers[-1]].self_attn
    entering = hidden[-2] if len(hidden) > 1 else embedded  # [B, T, H]
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    return Seen(hidden, tuple(linear(entering, part.weight, part.bias) for part in parts))
