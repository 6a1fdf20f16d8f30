"""The supernet's forward in PyTorch: leading heads and FFN neurons of named weights, as the product computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ofa_bert.numerics import MASKED, Floats
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from twin.directory import WORDS, Directory

OUT_PROJ, LINEAR2 = "self_attn.out_proj", "linear2"


class Output(NamedTuple):
    """Logits [B, C] and the hidden states [B, T, H] after each kept layer."""

    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Net:
    """weights: as of `Directory`, on one device. The dropouts are 0 wherever nothing is trained with them."""

    weights: Mapping[str, torch.Tensor]
    shape: ModelShape
    epsilon: float
    pad_id: int
    dropout: float = 0.0
    attention_dropout: float = 0.0

    @classmethod
    def of(cls, directory: Directory, device: str) -> Net:
        weights = {name: torch.tensor(array, device=device) for name, array in directory.weights.items()}
        return cls(weights, directory.shape, directory.epsilon, directory.tokenizer.pad_token_id)

    @property
    def device(self) -> torch.device:
        return next(iter(self.weights.values())).device

    @property
    def whole(self) -> SubModelConfig:
        return uniform(self.shape, 1.0)

    def copy(self) -> Net:
        return replace(self, weights={name: weight.detach().clone() for name, weight in self.weights.items()})

    def trainable(self, dropout: float = 0.0, attention_dropout: float = 0.0) -> Net:
        """The same weights, which now get gradients."""
        for weight in self.weights.values():
            weight.requires_grad_()
        return replace(self, dropout=dropout, attention_dropout=attention_dropout)

    def evaluated(self) -> Net:
        """The same weights without dropout."""
        return replace(self, dropout=0.0, attention_dropout=0.0)

    def arrays(self) -> dict[str, Floats]:
        return {name: weight.detach().cpu().numpy() for name, weight in self.weights.items()}

    def forward(self, ids: torch.Tensor, types: torch.Tensor, sub_model: SubModelConfig) -> Output:
        """Ids int64 [B, T]."""
        return self.encode(self.embed(ids, types), self.mask(ids), sub_model)

    def embed(self, ids: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """[B, T, H]."""
        words, kinds = self.weights[WORDS], self.weights["embeddings.token_type_embeddings.weight"]
        places = self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]  # [T, H]
        summed = F.embedding(ids, words) + places + F.embedding(types, kinds)
        return self._drop(self.norm(summed, "embeddings.layer_norm"))

    def mask(self, ids: torch.Tensor) -> torch.Tensor:
        """Additive [B, 1, 1, T]."""
        return ((ids == self.pad_id).float() * MASKED)[:, None, None]

    def encode(self, x: torch.Tensor, mask: torch.Tensor, sub_model: SubModelConfig) -> Output:
        """From the embeddings [B, T, H]."""
        hidden = self.states(x, mask, sub_model)
        pooled = self._drop(torch.tanh(self.linear(hidden[-1][:, 0], "pooler.dense")))  # [B, H]
        return Output(self.linear(pooled, "classifier"), hidden)

    def states(self, x: torch.Tensor, mask: torch.Tensor, sub_model: SubModelConfig) -> tuple[torch.Tensor, ...]:
        """[B, T, H] after each kept layer, from the embeddings; needs no classifier."""
        hidden = []
        for layer, heads, neurons in zip(sub_model.layers, sub_model.heads, sub_model.ffn):
            x = self._layer(f"encoder.layers.{layer}.", x, mask, heads, neurons)
            hidden.append(x)
        return tuple(hidden)

    def projections(self, x: torch.Tensor, layer: int) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values [B, T, A] of all heads of a layer, from what enters it."""
        return tuple(self.linear(x, f"encoder.layers.{layer}.self_attn.{part}_proj") for part in "qkv")

    def _layer(self, at: str, x: torch.Tensor, mask: torch.Tensor, heads: int, neurons: int) -> torch.Tensor:
        mixed = self.linear(self.attended(at, x, mask, heads), at + OUT_PROJ, rows=heads * self.shape.head_dim)
        x = self.norm(x + self._drop(mixed), at + "norm1")
        inner = self._drop(self.activated(at, x, neurons))
        return self.norm(x + self._drop(self.linear(inner, at + LINEAR2, rows=neurons)), at + "norm2")

    def attended(self, at: str, x: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
        """The values that the heads of a layer mixed, side by side [B, T, h * d]."""
        size, width = self.shape.head_dim, heads * self.shape.head_dim

        def project(name: str) -> torch.Tensor:
            return self.linear(x, f"{at}self_attn.{name}", columns=width).unflatten(-1, (heads, size)).transpose(1, 2)

        query, key, value = map(project, ("q_proj", "k_proj", "v_proj"))  # [B, h, T, d]
        mixed = F.scaled_dot_product_attention(query, key, value, mask, self.attention_dropout)
        return mixed.transpose(1, 2).flatten(2)

    def activated(self, at: str, x: torch.Tensor, neurons: int) -> torch.Tensor:
        """The FFN neurons of a layer [B, T, n]."""
        return F.gelu(self.linear(x, at + "linear1", columns=neurons))

    def linear(self, x: torch.Tensor, module: str, rows: int | None = None, columns: int | None = None) -> torch.Tensor:
        weight, bias = self.weights[module + ".weight"], self.weights[module + ".bias"]
        return x @ weight[:rows, :columns] + bias[:columns]

    def norm(self, x: torch.Tensor, module: str) -> torch.Tensor:
        weight, bias = self.weights[module + ".weight"], self.weights[module + ".bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout, self.dropout > 0)
