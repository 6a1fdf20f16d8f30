"""The parts of a PaddleNLP classifier that has an `nn.TransformerEncoder`, found and run as its family says."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import paddle
import paddle.nn.functional as F
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.models.families.base import OF_TOKENS, ClassifierHead, Family
from ofa_bert.models.families.registry import family_named
from ofa_bert.models.families.without_types import bound
from ofa_bert.numerics import MASKED, Floats
from ofa_bert.submodels.values import ModelShape


def model_type_of(model: nn.Layer) -> str:
    return str(model.base_model_prefix)


def family_of(model: nn.Layer) -> Family:
    return family_named(model_type_of(model))


def backbone(model: nn.Layer) -> nn.Layer:
    """The model without its classifier: has `embeddings` and `encoder`, in some families `pooler`."""
    return getattr(model, model.base_model_prefix)


def encoder_layers(model: nn.Layer) -> list[nn.TransformerEncoderLayer]:
    return list(backbone(model).encoder.layers)


def shape_of(model: nn.Layer) -> ModelShape:
    """The shape of a full model. For an extracted sub-model use the shape stored beside it."""
    config = model.config
    first = encoder_layers(model)[0]
    return ModelShape(
        num_layers=len(encoder_layers(model)),
        hidden_size=config.hidden_size,
        num_heads=first.self_attn.num_heads,
        head_dim=first.self_attn.head_dim,
        ffn_size=first.linear1.weight.shape[1],
        vocab_size=config.vocab_size,
        max_positions=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size if has_token_types(model) else 0,
        num_labels=config.num_labels,
        **family_of(model).more_shape(config),
        **({"per_token": 2 if family_of(model).token_pooler else 1} if answers_per_token(model) else {}),
    )


def has_token_types(model: nn.Layer) -> bool:
    """Whether what it answers depends on the types of tokens."""
    return family_of(model).token_types


def longest_input(model: nn.Layer) -> int:
    """Tokens that the model has positions for."""
    config = model.config
    return family_of(model).positions_for_tokens(config.max_position_embeddings, config.pad_token_id)


def attention_mask(model: nn.Layer, input_ids: paddle.Tensor) -> paddle.Tensor:
    """Additive mask [B, 1, 1, T] of the model's default dtype: 0 on tokens, -1e4 on padding, as PaddleNLP has it."""
    padding = (input_ids == backbone(model).pad_token_id).astype(paddle.get_default_dtype()) * MASKED
    return padding.unsqueeze([1, 2])  # [B, 1, 1, T]


def projection_of(model: nn.Layer) -> nn.Linear | None:
    """The layer that brings the embeddings to the hidden size; None in a model whose embeddings have it."""
    name = family_of(model).projection
    return getattr(backbone(model), name, None) if name else None


def embed(model: nn.Layer, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> paddle.Tensor:
    """What enters the first layer [B, T, H]; the same for every sub-model, so it is computed once per batch."""
    if has_token_types(model):
        embedded = backbone(model).embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
    else:
        embedded = backbone(model).embeddings(input_ids=bound(input_ids, token_type_ids))
    projection = projection_of(model)
    return embedded if projection is None else projection(embedded)  # [B, T, H]


def word_embeddings(model: nn.Layer) -> Floats:
    """The table [V, E] that word pieces are looked up in; E is the embeddings' own width where they have one."""
    found: Floats = backbone(model).embeddings.word_embeddings.weight.numpy()
    return found


def answers_per_token(model: nn.Layer) -> bool:
    """Whether its logits are [B, T, C], of every token."""
    return type(getattr(model, "_layers", model)).__name__ == family_of(model).token_classifier


def classifier_head(model: nn.Layer) -> ClassifierHead:
    return OF_TOKENS if answers_per_token(model) else family_of(model).head(model.config)


def module_at(model: nn.Layer, path: str) -> nn.Layer:
    """The module that such a path as "classifier.dense" names."""
    return attrgetter(path)(model)


def classify(model: nn.Layer, hidden: paddle.Tensor) -> paddle.Tensor:
    """Logits [B, C] or [B, T, C] from the last hidden states [B, T, H], by the model's own head."""
    head = classifier_head(model)
    x = hidden if head.per_token else hidden[:, 0]  # [B, H]
    if head.dropout_first and head.dropout is not None:
        x = module_at(model, head.dropout)(x)
    if head.dense is not None:
        x = module_at(model, head.dense)(x)
    for name in head.activations:
        x = getattr(F, name)(x)
    if head.dropout is not None:
        x = module_at(model, head.dropout)(x)
    return module_at(model, head.output)(x)


def set_dropout(model: nn.Layer, probability: float) -> None:
    """Use that dropout everywhere in the model, in place of what its config says."""
    for layer in model.sublayers():
        if isinstance(layer, nn.Dropout):
            layer.p = probability
        elif isinstance(layer, nn.MultiHeadAttention):
            layer.dropout = probability


def resize(model: nn.Layer, heads: Sequence[int], ffn: Sequence[int]) -> None:
    """Give each layer of `model` that many heads and FFN neurons; the resized projections hold fresh weights.

    The layers stay stock `nn.TransformerEncoderLayer`s, so stock forward, `to_static` and exporters work on them.
    """
    layers = encoder_layers(model)
    if not len(layers) == len(heads) == len(ffn):
        raise UserError(
            f"the model has {len(layers)} layers, the sub-model describes {len(heads)} (heads) and {len(ffn)} (ffn)"
        )
    for layer, num_heads, neurons in zip(layers, heads, ffn):
        attention = layer.self_attn
        hidden, inner = attention.embed_dim, num_heads * attention.head_dim
        attention.num_heads = num_heads
        attention.q_proj = nn.Linear(hidden, inner)
        attention.k_proj = nn.Linear(hidden, inner)
        attention.v_proj = nn.Linear(hidden, inner)
        attention.out_proj = nn.Linear(inner, hidden)
        layer.linear1 = nn.Linear(hidden, neurons)
        layer.linear2 = nn.Linear(neurons, hidden)
