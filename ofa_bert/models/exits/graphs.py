"""A model with exits cut into layers that run one after the other: what inference runs and what exporters make static.

`Entry` then `Segment`s answer at every exit on the way; an `UpTo` runs exactly k layers and one head. All are made of
the model's own stock layers, so an extracted sub-model runs without slicing, and the whole gives its very logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
from paddle import nn

from ofa_bert.models.encoder import attention_mask, classify, embed, encoder_layers
from ofa_bert.models.exits.heads import Exits


class Step(NamedTuple):
    """After a segment: hidden states [B, T, H], the exit's logits [B, C], its certainty [B] (1 for the last exit)."""

    hidden: paddle.Tensor
    logits: paddle.Tensor
    certainty: paddle.Tensor


class Entry(nn.Layer):
    """Token ids to what enters the first layer, and the mask."""

    def __init__(self, model: nn.Layer):
        super().__init__()
        self.model = model

    def forward(self, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """States [B, T, H] and the additive mask [B, 1, 1, T] of int64 ids [B, T]."""
        return embed(self.model, input_ids, token_type_ids), attention_mask(self.model, input_ids)


class Segment(nn.Layer):
    """Layers `begin` to `end - 1`, then the exit there: a head, or at the end the model's own classifier."""

    def __init__(self, model: nn.Layer, exits: Exits, begin: int, end: int):
        super().__init__()
        self.model, self.exits = model, exits
        self.begin, self.end = begin, end
        self.last = end == len(encoder_layers(model))

    def forward(self, hidden: paddle.Tensor, mask: paddle.Tensor) -> Step:
        for layer in encoder_layers(self.model)[self.begin : self.end]:
            hidden = layer(hidden, mask)  # [B, T, H]
        if self.last:
            logits = classify(self.model, hidden)  # [B, C]
            return Step(hidden, logits, paddle.ones_like(logits[:, 0]))
        logits = self.exits.logits(self.end - 1, hidden, mask)  # [B, C]
        return Step(hidden, logits, self.exits.certainty(self.end - 1, hidden))


class UpTo(nn.Layer):
    """Exactly `depth` layers and the one head after them."""

    def __init__(self, model: nn.Layer, exits: Exits, depth: int):
        super().__init__()
        self.entry, self.segment = Entry(model), Segment(model, exits, 0, depth)

    def forward(self, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> paddle.Tensor:
        """Logits [B, C] of int64 ids [B, T]."""
        return self.step(input_ids, token_type_ids).logits

    def step(self, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> Step:
        return self.segment(*self.entry(input_ids, token_type_ids))


class FirstLayers(nn.Layer):
    """Exported: token ids to the hidden states at the first exit."""

    def __init__(self, model: nn.Layer, end: int):
        super().__init__()
        self.entry = Entry(model)
        self.end = end

    def forward(self, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> paddle.Tensor:
        """Hidden states [B, T, H] of int64 ids [B, T]."""
        hidden, mask = self.entry(input_ids, token_type_ids)
        for layer in encoder_layers(self.entry.model)[: self.end]:
            hidden = layer(hidden, mask)
        return hidden


class NextLayers(nn.Layer):
    """Exported: hidden states at one exit to those at the next."""

    def __init__(self, model: nn.Layer, begin: int, end: int):
        super().__init__()
        self.model, self.begin, self.end = model, begin, end

    def forward(self, hidden: paddle.Tensor, input_ids: paddle.Tensor) -> paddle.Tensor:
        """Hidden states [B, T, H] of hidden states [B, T, H] and int64 ids [B, T], which say what is padding."""
        mask = attention_mask(self.model, input_ids)
        for layer in encoder_layers(self.model)[self.begin : self.end]:
            hidden = layer(hidden, mask)
        return hidden


class Head(nn.Layer):
    """Exported: what one exit says, the one after `depth` layers."""

    def __init__(self, model: nn.Layer, exits: Exits, depth: int):
        super().__init__()
        self.model, self.exits, self.depth = model, exits, depth
        self.last = depth == len(encoder_layers(model))
        self.first_token = self.last or exits.layout.head == "ramp"  # reads position 0 alone

    def forward(
        self, hidden: paddle.Tensor, input_ids: paddle.Tensor | None = None
    ) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor]:
        """Logits [B, C] of hidden states [B, T, H], and before the last exit its certainty [B].

        Heads that read the first token alone take no ids, and T may be 1.
        """
        if self.last:
            return classify(self.model, hidden)
        mask = None if self.first_token else attention_mask(self.model, input_ids)
        logits = self.exits.logits(self.depth - 1, hidden, mask)
        return logits, self.exits.certainty(self.depth - 1, hidden)


def depths(model: nn.Layer, exits: Exits) -> tuple[int, ...]:
    """How many layers run until each exit, the last one included."""
    return (*(layer + 1 for layer in exits.layout.layers), len(encoder_layers(model)))


def segments(model: nn.Layer, exits: Exits, ends: Sequence[int]) -> list[Segment]:
    """The segments between the exits at those depths."""
    return [Segment(model, exits, begin, end) for begin, end in zip([0, *ends], ends)]
