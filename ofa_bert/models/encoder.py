"""What differs between the PaddleNLP model families that have an `nn.TransformerEncoder`, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.numerics import MASKED
from ofa_bert.submodels.values import ModelShape


def model_type_of(model: nn.Layer) -> str:
    return str(model.base_model_prefix)


def backbone(model: nn.Layer) -> nn.Layer:
    """The model without its classifier: has `embeddings`, `encoder` and (but for RoBERTa) `pooler`."""
    return getattr(model, model.base_model_prefix)


def encoder_layers(model: nn.Layer) -> list[nn.TransformerEncoderLayer]:
    return list(backbone(model).encoder.layers)


def shape_of(model: nn.Layer) -> ModelShape:
    """The shape of a full model. For an extracted sub-model use the shape stored beside it."""
    config = model.config
    first = encoder_layers(model)[0]
    uses_task_id = getattr(config, "use_task_id", False)
    return ModelShape(
        num_layers=len(encoder_layers(model)),
        hidden_size=config.hidden_size,
        num_heads=first.self_attn.num_heads,
        head_dim=first.self_attn.head_dim,
        ffn_size=first.linear1.weight.shape[1],
        vocab_size=config.vocab_size,
        max_positions=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        num_labels=config.num_labels,
        task_type_vocab_size=config.task_type_vocab_size if uses_task_id else 0,
        fit_size=config.fit_size if hasattr(backbone(model), "fit_denses") else 0,
    )


def longest_input(model: nn.Layer) -> int:
    """Tokens that the model has positions for."""
    config = model.config
    if model_type_of(model) == "roberta":
        return config.max_position_embeddings - config.pad_token_id - 1  # counted from after the padding token's
    return config.max_position_embeddings


def attention_mask(model: nn.Layer, input_ids: paddle.Tensor) -> paddle.Tensor:
    """Additive mask [B, 1, 1, T] of the model's default dtype: 0 on tokens, -1e4 on padding, as PaddleNLP has it."""
    padding = (input_ids == backbone(model).pad_token_id).astype(paddle.get_default_dtype()) * MASKED
    return padding.unsqueeze([1, 2])  # [B, 1, 1, T]


def classify(model: nn.Layer, hidden: paddle.Tensor) -> paddle.Tensor:
    """Logits [B, C] from the last hidden states [B, T, H], by the model's own head."""
    head = _HEADS.get(model_type_of(model), _pooled_head)
    return head(model, hidden)


def _pooled_head(model: nn.Layer, hidden: paddle.Tensor) -> paddle.Tensor:
    return model.classifier(model.dropout(backbone(model).pooler(hidden)))


def _tinybert_head(model: nn.Layer, hidden: paddle.Tensor) -> paddle.Tensor:
    return model.classifier(model.activation(backbone(model).pooler(hidden)))


def _roberta_head(model: nn.Layer, hidden: paddle.Tensor) -> paddle.Tensor:
    return model.classifier(hidden)


_HEADS: dict[str, Callable[[nn.Layer, paddle.Tensor], paddle.Tensor]] = {
    "tinybert": _tinybert_head,
    "roberta": _roberta_head,
}


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
