"""ELECTRA: embeddings of their own width with a projection behind them, no pooler, a head with the model's GELU."""

from __future__ import annotations

from collections.abc import Mapping

from ofa_bert.models.families.base import TWO_LAYERS, Config, Family, Transformers, two_layers
from ofa_bert.tasks.heads import CONTEXTS, ONE_LABEL, TAGS

_PROJECTION = "embeddings_project"
_ACTIVATION = "gelu"  # in the head of transformers' classifier


def more_shape(config: Config) -> Mapping[str, int]:
    return {"embedding_size": config.embedding_size}


def refusal(config: Config, head: str) -> str | None:
    if head == ONE_LABEL and config.hidden_act != _ACTIVATION:
        return f"hidden_act {config.hidden_act}; transformers' classifier has {_ACTIVATION} whatever that is"
    return None


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
    hugging_face_activation=_ACTIVATION,
    transformers=Transformers("Electra", (ONE_LABEL, TAGS, CONTEXTS), refusal, more_shape),
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
