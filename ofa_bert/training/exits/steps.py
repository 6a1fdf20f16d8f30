"""The training steps of exits: on a frozen model, GEEP's shared exit loss, and all exits jointly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.models.encoder import attention_mask, embed
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.supernet import encode
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.exits.states import Frozen
from ofa_bert.training.loop import Step
from ofa_bert.training.losses.exits import certainty_loss, exit_loss, weights
from ofa_bert.training.losses.task import KindLosses, on_labelled

# (step number) -> the sub-models that the step trains.
Choose = Callable[[int], "tuple[SubModelConfig, ...]"]
Backward = Callable[[paddle.Tensor], None]


@dataclass(frozen=True)
class ExitObjective:
    """`share`: how much of an exit's loss is its distance from the last exit, see `exits.exit_loss`."""

    losses: KindLosses
    share: float
    weighting: str = "uniform"


def frozen_step(exits: Exits, frozen: Frozen, objective: ExitObjective, choose: Choose) -> Step:
    """DeeBERT's second stage: the sum of the exits' losses; only the heads take part in the gradient."""

    def step(batch: Batch, number: int, backward: Backward) -> dict[str, float]:
        parts: dict[str, list[paddle.Tensor]] = {}
        chosen = [sub_model for sub_model in choose(number) if exits.layout.points(sub_model)]
        own = on_labelled(objective.losses, batch.label_weights)
        for sub_model in chosen:
            states = frozen.states(batch, sub_model)
            answers = _answers(exits, states.hidden, states.mask, sub_model)
            losses = [exit_loss(logits, batch.labels, states.last, objective.share, own) for logits in answers.values()]
            certain = _certainty(exits, answers, states.hidden, sub_model, batch, objective.losses)
            _note(parts, exits=sum(losses), certainty=certain)
            # One backward per sub-model: what it ran can be forgotten before the next.
            backward((sum(losses) + certain) / len(chosen))
        return _means(parts)

    return step


def geep_step(model: nn.Layer, exits: Exits, objective: ExitObjective, choose: Choose) -> Step:
    """GEEP's shared exit loss: SUM_k CE(t_k) + SUM_k exit loss of head k, in one stage, all parameters.

    h_k is the hidden state after the exit's layer, t_k the model's own classifier on its last layer applied to h_k; one
    t is that of the whole model, which is also what the heads are drawn to. The layers before the last run once.
    """

    def losses(
        sub_model: SubModelConfig, embedded: paddle.Tensor, mask: paddle.Tensor, batch: Batch, number: int
    ) -> dict[str, paddle.Tensor]:
        own = on_labelled(objective.losses, batch.label_weights)
        out = encode(model, embedded, mask, sub_model)
        answers = _answers(exits, out.hidden, mask, sub_model)
        last_layer = SubModelConfig(sub_model.layers[-1:], sub_model.heads[-1:], sub_model.ffn[-1:])
        shared = [out.logits]
        for place, _ in exits.layout.points(sub_model):
            next_is_last = place == sub_model.depth - 2
            shared.append(out.logits if next_is_last else encode(model, out.hidden[place], mask, last_layer).logits)
        heads = [exit_loss(logits, batch.labels, out.logits, objective.share, own) for logits in answers.values()]
        found = {"shared": sum(own.task(logits, batch.labels) for logits in shared)}
        if heads:  # a sub-model whose only kept layer with a head is its last has none
            found.update(
                exits=sum(heads),
                certainty=_certainty(exits, answers, out.hidden, sub_model, batch, objective.losses),
            )
        return found

    return _whole_step(model, losses, choose)


def joint_step(
    model: nn.Layer, exits: Exits, objective: ExitObjective, choose: Choose, alternate: bool = False
) -> Step:
    """The weighted mean of all exits' losses, all parameters (PABEE).

    With `alternate`, every other step, the first among them, trains the last exit alone (BERxiT).
    """

    def losses(
        sub_model: SubModelConfig, embedded: paddle.Tensor, mask: paddle.Tensor, batch: Batch, number: int
    ) -> dict[str, paddle.Tensor]:
        own = on_labelled(objective.losses, batch.label_weights)
        out = encode(model, embedded, mask, sub_model)
        last = own.task(out.logits, batch.labels)
        if not exits.layout.points(sub_model) or (alternate and number % 2 == 0):
            return {"last": last}
        answers = _answers(exits, out.hidden, mask, sub_model)
        shares = weights(objective.weighting, [*(place + 1 for place in answers), sub_model.depth])
        total = shares[-1] * last
        for share, logits in zip(shares, answers.values()):
            total = total + share * exit_loss(logits, batch.labels, out.logits, objective.share, own)
        return {
            "exits": total,
            "certainty": _certainty(exits, answers, out.hidden, sub_model, batch, objective.losses),
        }

    return _whole_step(model, losses, choose)


def _whole_step(model: nn.Layer, losses: Callable[..., dict[str, paddle.Tensor]], choose: Choose) -> Step:
    """A step that trains the model too: embeddings once, one backward per sub-model."""

    def step(batch: Batch, number: int, backward: Backward) -> dict[str, float]:
        mask = attention_mask(model, batch.input_ids)
        embedded = embed(model, batch.input_ids, batch.token_type_ids)
        # Every sub-model starts from this leaf and adds to its gradient; the embeddings see the sum, once.
        leaf = embedded.detach()
        leaf.stop_gradient = False
        parts: dict[str, list[paddle.Tensor]] = {}
        chosen = choose(number)
        for sub_model in chosen:
            found = losses(sub_model, leaf, mask, batch, number)
            _note(parts, **found)
            backward(sum(found.values()) / len(chosen))
        paddle.autograd.backward([embedded], [leaf.grad])
        return _means(parts)

    return step


def _answers(
    exits: Exits, hidden: Sequence[paddle.Tensor], mask: paddle.Tensor, sub_model: SubModelConfig
) -> dict[int, paddle.Tensor]:
    """Place among the kept layers -> logits [B, C] of the exit there."""
    return {place: exits.logits(layer, hidden[place], mask) for place, layer in exits.layout.points(sub_model)}


def _certainty(
    exits: Exits,
    answers: dict[int, paddle.Tensor],
    hidden: Sequence[paddle.Tensor],
    sub_model: SubModelConfig,
    batch: Batch,
    losses: KindLosses,
) -> paddle.Tensor:
    """Mean over the exits; it trains the certainty alone, not what the certainty is about."""
    total = 0.0
    for place, logits in answers.items():
        sure = exits.certainty(sub_model.layers[place], hidden[place].detach())
        total = total + certainty_loss(sure, logits, batch.labels, losses, batch.label_weights)
    return total / len(answers)


def _note(parts: dict[str, list[paddle.Tensor]], **losses: paddle.Tensor) -> None:
    for name, loss in losses.items():
        parts.setdefault(name, []).append(loss.detach())


def _means(parts: dict[str, list[paddle.Tensor]]) -> dict[str, float]:
    return {name: float(sum(values)) / len(values) for name, values in parts.items()}
