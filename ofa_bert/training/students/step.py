"""A student's training step: one teacher forward per batch, or none where its logits are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.models.encoder import attention_mask, backbone, embed, encoder_layers
from ofa_bert.models.operators import linear, softmax
from ofa_bert.models.supernet import encode, whole
from ofa_bert.training.loop import Step
from ofa_bert.training.losses.distillation import attention_loss, hidden_loss, spread_layers, token_weights
from ofa_bert.training.losses.task import KindLosses, for_batch
from ofa_bert.training.students.teacher_logits import TeacherLogits


class States(NamedTuple):
    """Of one batch: states [B, T, H], the embeddings' output first, then one per layer; logits [B, C] or [B, T, C]."""

    states: Sequence[paddle.Tensor]
    logits: paddle.Tensor


@dataclass(frozen=True)
class StudentObjective:
    """Weights of the losses' sum; projection: from the student's hidden size to the teacher's, where they differ."""

    losses: KindLosses
    logit: float
    state: float
    attention: float
    label: float
    projection: nn.Layer | None = None

    @property
    def needs_states(self) -> bool:
        return bool(self.state or self.attention)


def run_states(model: nn.Layer, batch: Batch, mask: paddle.Tensor) -> States:
    embedded = embed(model, batch.input_ids, batch.token_type_ids)  # [B, T, H]
    out = encode(model, embedded, mask, whole(model))
    return States((embedded, *out.hidden), out.logits)


def attention_maps(model: nn.Layer, states: States, mask: paddle.Tensor, layers: Sequence[int]) -> list[paddle.Tensor]:
    """Attention probabilities [B, heads, T, T] of those layers, without dropout, from the states that enter them."""
    maps = []
    for index in layers:
        attention = encoder_layers(model)[index].self_attn
        shape = [0, 0, attention.num_heads, attention.head_dim]
        query, key = (
            linear(states.states[index], part.weight, part.bias).reshape(shape).transpose([0, 2, 1, 3])
            for part in (attention.q_proj, attention.k_proj)
        )  # [B, heads, T, d]
        scores = paddle.matmul(query * attention.head_dim**-0.5, key, transpose_y=True) + mask  # [B, heads, T, T]
        maps.append(softmax(scores))
    return maps


def student_step(
    student: nn.Layer, teacher: nn.Layer, objective: StudentObjective, known: TeacherLogits | None = None
) -> Step:
    """A training step for `loop.fit`. `known` answers in the teacher's place when only its logits are asked for."""
    matched = spread_layers(len(encoder_layers(student)), len(encoder_layers(teacher)))

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        with paddle.no_grad():
            tokens = (batch.input_ids != backbone(student).pad_token_id).astype(paddle.get_default_dtype())
            weights = token_weights(tokens)  # [B, T, 1]
            mask = attention_mask(student, batch.input_ids)  # [B, 1, 1, T]
            wanted = States((), known.of(batch)) if known is not None else run_states(teacher, batch, mask)
        own = run_states(student, batch, mask)
        of_kind = for_batch(objective.losses, batch)
        losses = {}
        if objective.logit:
            losses["logit"] = objective.logit, of_kind.logit(own.logits, wanted.logits)
        if objective.label:
            losses["label"] = objective.label, of_kind.task(own.logits, batch.labels)
        if objective.state:
            losses["state"] = objective.state, state_loss(own, wanted, matched, weights, objective.projection)
        if objective.attention:
            maps = attention_maps(student, own, mask, range(len(matched)))
            with paddle.no_grad():
                teachers = attention_maps(teacher, wanted, mask, matched)
            losses["attention"] = objective.attention, attention_loss(maps, teachers, weights)
        backward(sum(weight * loss for weight, loss in losses.values()))
        return {name: loss.item() for name, (_, loss) in losses.items()}

    return step


def state_loss(
    own: States,
    wanted: States,
    matched: Sequence[int],
    weights: paddle.Tensor,
    projection: nn.Layer | None = None,
) -> paddle.Tensor:
    """`hidden_loss` of the embeddings' output and of every layer beside the teacher's layer that `matched` names."""
    states = own.states if projection is None else [projection(states) for states in own.states]
    return hidden_loss(states, [wanted.states[0], *(wanted.states[layer + 1] for layer in matched)], weights)
