"""ELECTRA: embeddings of their own width with a projection behind them, no pooler, a head with the model's GELU."""

from __future__ import annotations

from collections.abc import Mapping

from ofa_bert.models.families.base import TWO_LAYERS, Config, Family, two_layers

_PROJECTION = "embeddings_project"


def more_shape(config: Config) -> Mapping[str, int]:
    return {"embedding_size": config.embedding_size}


ELECTRA = Family(
    model_type="electra",
    classifier="ElectraForSequenceClassification",
    token_classifier="ElectraForTokenClassification",
    tokenizer="ElectraTokenizer",
    masked_lm="ElectraForMaskedLM",
    head=lambda config: two_layers(config.hidden_act),
    more_shape=more_shape,
    projection=_PROJECTION,
    sizes=("embedding_size",),
    activations=("gelu", "mish", "relu", "relu6", "sigmoid", "silu", "swish", "tanh"),
    hugging_face_activation="gelu",
    # The discriminator's, the generator's, and ERNIE-Health's, which is an ELECTRA.
    other_heads=(
        "discriminator_predictions.",
        "generator_predictions.",
        "generator_lm_head",
        "discriminator_rtd.",
        "discriminator_mts.",
        "discriminator_csp.",
        "bias_mts.",
    ),
    modules={_PROJECTION: _PROJECTION, **TWO_LAYERS},
    masked_lm_modules={
        "generator_predictions.dense": "transform",
        "generator_predictions.LayerNorm": "layer_norm",
        "generator_predictions.layer_norm": "layer_norm",
    },
    masked_lm_biases=("generator_lm_head.bias", "generator_lm_head_bias"),
    classifier_part="discriminator.",
    masked_lm_part="generator.",
)
