"""The supernet: a stock model whose leading heads and FFN neurons are its sub-models.

Nothing is stored on the model and nothing in Paddle is patched: a sub-model is an argument of `encode`, which runs the
stock layers' own parameters, sliced. `extract` turns a sub-model into a smaller stock model with the same outputs.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import paddle
from paddle import nn

from ofa_bert.models.encoder import (
    answers_per_token,
    attention_mask,
    backbone,
    classify,
    embed,
    encoder_layers,
    family_of,
    model_type_of,
    resize,
)
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.operators import dropout, layer_norm, linear, softmax
from ofa_bert.submodels.values import SubModelConfig


class Output(NamedTuple):
    """Logits [B, C], or [B, T, C] of every token, and the hidden states [B, T, H] after each kept layer."""

    logits: paddle.Tensor
    hidden: tuple[paddle.Tensor, ...]


def whole(model: nn.Layer) -> SubModelConfig:
    """The model as it is, itself perhaps an extracted sub-model: all its layers, heads and FFN neurons."""
    layers = encoder_layers(model)
    return SubModelConfig(
        tuple(range(len(layers))),
        tuple(layer.self_attn.num_heads for layer in layers),
        tuple(layer.linear1.weight.shape[1] for layer in layers),
    )


def forward(
    model: nn.Layer, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor, sub_model: SubModelConfig
) -> Output:
    """Run one sub-model. Ids are int64 [B, T]; padding is the model's pad id."""
    return encode(model, embed(model, input_ids, token_type_ids), attention_mask(model, input_ids), sub_model)


def encode(model: nn.Layer, embedded: paddle.Tensor, mask: paddle.Tensor, sub_model: SubModelConfig) -> Output:
    """Run one sub-model from the embedding output [B, T, H] with the additive mask [B, 1, 1, T]."""
    hidden = run_layers(model, embedded, mask, sub_model)
    return Output(classify(model, hidden[-1]), hidden)


def run_layers(
    model: nn.Layer, embedded: paddle.Tensor, mask: paddle.Tensor, sub_model: SubModelConfig
) -> tuple[paddle.Tensor, ...]:
    """The hidden states [B, T, H] after each kept layer; the model needs no classifier. Arguments as of `encode`."""
    layers = encoder_layers(model)
    length = mask.shape[-1]
    # Spread over heads and queries once, as adding tensors of one shape is many times faster on a CPU.
    masks = {heads: mask.expand([-1, heads, length, length]) for heads in set(sub_model.heads)}  # [B, heads, T, T]
    x = embedded
    hidden = []
    for index, heads, neurons in zip(sub_model.layers, sub_model.heads, sub_model.ffn):
        x = _layer(layers[index], x, masks[heads], heads, neurons)  # [B, T, H]
        hidden.append(x)
    return tuple(hidden)


def _layer(
    layer: nn.TransformerEncoderLayer, x: paddle.Tensor, mask: paddle.Tensor, heads: int, neurons: int
) -> paddle.Tensor:
    """A post-norm encoder layer with its first `heads` heads and its first `neurons` FFN neurons."""
    x = _norm(layer.norm1, x + _drop(layer.dropout1, _attention(layer.self_attn, x, mask, heads)))
    inner = linear(x, _columns(layer.linear1.weight, neurons), _columns(layer.linear1.bias, neurons))  # [B, T, n]
    inner = _drop(layer.dropout, layer.activation(inner))
    out = linear(inner, _rows(layer.linear2.weight, neurons), layer.linear2.bias)  # [B, T, H]
    return _norm(layer.norm2, x + _drop(layer.dropout2, out))


def _attention(attention: nn.MultiHeadAttention, x: paddle.Tensor, mask: paddle.Tensor, heads: int) -> paddle.Tensor:
    width = heads * attention.head_dim

    def project(layer: nn.Linear) -> paddle.Tensor:
        projected = linear(x, _columns(layer.weight, width), _columns(layer.bias, width))  # [B, T, heads * d]
        return projected.reshape([0, 0, heads, attention.head_dim]).transpose([0, 2, 1, 3])  # [B, heads, T, d]

    query, key, value = project(attention.q_proj), project(attention.k_proj), project(attention.v_proj)
    scores = paddle.matmul(query * attention.head_dim**-0.5, key, transpose_y=True) + mask  # [B, heads, T, T]
    weights = dropout(softmax(scores), attention.dropout, attention.training)
    context = paddle.matmul(weights, value).transpose([0, 2, 1, 3]).reshape([0, 0, width])  # [B, T, heads * d]
    return linear(context, _rows(attention.out_proj.weight, width), attention.out_proj.bias)  # [B, T, H]


def _drop(layer: nn.Dropout, x: paddle.Tensor) -> paddle.Tensor:
    return dropout(x, layer.p, layer.training)


def _norm(layer: nn.LayerNorm, x: paddle.Tensor) -> paddle.Tensor:
    return layer_norm(x, layer.weight, layer.bias, layer._epsilon)


def _columns(tensor: paddle.Tensor, count: int) -> paddle.Tensor:
    """The first `count` output features of a weight [in, out] or a bias [out]."""
    return tensor if tensor.shape[-1] == count else tensor[..., :count]


def _rows(weight: paddle.Tensor, count: int) -> paddle.Tensor:
    """The first `count` input features of a weight [in, out]."""
    return weight if weight.shape[0] == count else weight[:count]


def extract(model: nn.Layer, sub_model: SubModelConfig) -> nn.Layer:
    """A new stock model with only the sub-model's weights (copies); logits equal those of `forward`.

    Its config says how many layers it has; heads and FFN sizes stand in its layers, as they may differ per layer.
    """
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = sub_model.depth
    small = model_class(model_type_of(model), answers_per_token(model))(config)
    resize(small, sub_model.heads, sub_model.ffn)
    small.set_state_dict(extracted_state(model, sub_model))
    for own, index in zip(encoder_layers(small), sub_model.layers):
        source = encoder_layers(model)[index]
        own.norm1._epsilon, own.norm2._epsilon = source.norm1._epsilon, source.norm2._epsilon
    backbone(small).embeddings.layer_norm._epsilon = backbone(model).embeddings.layer_norm._epsilon
    small.eval()
    return small


def extracted_state(model: nn.Layer, sub_model: SubModelConfig) -> dict[str, paddle.Tensor]:
    """The sub-model's weights under the names of the smaller model."""
    prefix = f"{model.base_model_prefix}.encoder.layers."
    per_state = family_of(model).per_hidden_state
    fit = f"{model.base_model_prefix}.{per_state}." if per_state else None  # one module per hidden state
    position = {index: place for place, index in enumerate(sub_model.layers)}
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(prefix):
            index, rest = name[len(prefix) :].split(".", 1)
            if int(index) in position:
                place = position[int(index)]
                head_dim = encoder_layers(model)[int(index)].self_attn.head_dim
                sliced = _slice(rest, tensor, sub_model.heads[place] * head_dim, sub_model.ffn[place])
                state[f"{prefix}{place}.{rest}"] = sliced
        elif fit and name.startswith(fit):
            index, rest = name[len(fit) :].split(".", 1)
            if int(index) == 0 or int(index) - 1 in position:
                place = 0 if int(index) == 0 else position[int(index) - 1] + 1
                state[f"{fit}{place}.{rest}"] = tensor
        else:
            state[name] = tensor
    return state


def _slice(name: str, tensor: paddle.Tensor, width: int, neurons: int) -> paddle.Tensor:
    module, kind = name.rsplit(".", 1)
    if module in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
        return tensor[..., :width]
    if module == "linear1":
        return tensor[..., :neurons]
    if kind == "weight" and module == "self_attn.out_proj":
        return tensor[:width]
    if kind == "weight" and module == "linear2":
        return tensor[:neurons]
    return tensor
