"""The supernet's training step: one teacher forward per batch, one backward per sub-model, one embedding pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.models.encoder import attention_mask, backbone, embed
from ofa_bert.models.supernet import Output, encode, forward, whole
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.losses.distillation import hidden_loss, match_layers, token_weights
from ofa_bert.training.losses.task import KindLosses, for_batch

Loss = tuple[paddle.Tensor, dict[str, float]]  # to go back from, and its parts by name


@dataclass(frozen=True)
class Objective:
    """What a sub-model is trained for: lambda_logit * logit loss + lambda_rep * hidden-state loss."""

    losses: KindLosses
    lambda_logit: float
    lambda_rep: float

    def loss(self, student: Output, teacher: Output, weights: paddle.Tensor, sub_model: SubModelConfig) -> Loss:
        total, parts = 0.0, {}
        if self.lambda_logit:
            logit = self.losses.logit(student.logits, teacher.logits)
            total, parts["logit"] = total + self.lambda_logit * logit, logit.item()
        if self.lambda_rep:
            matched = [teacher.hidden[i] for i in match_layers(sub_model.layers, len(teacher.hidden))]
            hidden = hidden_loss(student.hidden, matched, weights)
            total, parts["hidden"] = total + self.lambda_rep * hidden, hidden.item()
        return total, parts


def supernet_step(
    model: nn.Layer,
    teacher: nn.Layer,
    objective: Objective,
    choose: Callable[[int], tuple[SubModelConfig, ...]],
    layers: tuple[int, ...] | None = None,
) -> Callable[[Batch, int, Callable[[paddle.Tensor], None]], dict[str, float]]:
    """A training step for `loop.fit`. `choose(step)` gives the sub-models of that step.

    The gradient is that of the mean loss over the step's sub-models. layers: those of the teacher that a model was
    extracted with, where all its sub-models keep all of its own.
    """
    pad_id = backbone(model).pad_token_id

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        with paddle.no_grad():
            wanted = teacher_forward(teacher, batch)
            weights = token_weights((batch.input_ids != pad_id).astype(paddle.get_default_dtype()))
            mask = attention_mask(model, batch.input_ids)

        own = replace(objective, losses=for_batch(objective.losses, batch))

        def loss_of(entering: paddle.Tensor, sub_model: SubModelConfig) -> Loss:
            meant = sub_model if layers is None else replace(sub_model, layers=layers)
            return own.loss(encode(model, entering, mask, sub_model), wanted, weights, meant)

        return over_sub_models(embed(model, batch.input_ids, batch.token_type_ids), choose(number), loss_of, backward)

    return step


def over_sub_models(
    embedded: paddle.Tensor,
    sub_models: Sequence[SubModelConfig],
    loss_of: Callable[[paddle.Tensor, SubModelConfig], Loss],
    backward: Callable[[paddle.Tensor], None],
) -> dict[str, float]:
    """The gradient of the mean loss over `sub_models`, one backward each; the mean of their losses by name.

    embedded [B, T, H]: what enters the first layer of them all. loss_of: from that and a sub-model.
    """
    # Every sub-model starts from this leaf and adds to its gradient; the embeddings see the sum, once.
    leaf = embedded.detach()
    leaf.stop_gradient = False
    sums: dict[str, float] = {}
    for sub_model in sub_models:
        loss, parts = loss_of(leaf, sub_model)
        backward(loss / len(sub_models))
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value / len(sub_models)
    paddle.autograd.backward([embedded], [leaf.grad])
    return sums


def teacher_forward(teacher: nn.Layer, batch: Batch) -> Output:
    """Logits and every hidden state of the teacher, which must be in eval mode."""
    return forward(teacher, batch.input_ids, batch.token_type_ids, whole(teacher))
