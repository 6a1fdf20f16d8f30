"""DistilBERT: no token types, no pooler, a head of two layers with a ReLU between them."""

from __future__ import annotations

from ofa_bert.models.families.base import ClassifierHead, Config, Family, Transformers

_DENSE = "pre_classifier"
_EPSILON = 1e-12  # of every LayerNorm in transformers, whatever its configuration says


def refusal(config: Config, head: str) -> str | None:
    if config.layer_norm_eps == _EPSILON:
        return None
    return f"layer_norm_eps {config.layer_norm_eps:g}; transformers' DistilBERT has {_EPSILON:g} whatever that is"


DISTILBERT = Family(
    model_type="distilbert",
    classifier="DistilBertForSequenceClassification",
    token_classifier="DistilBertForTokenClassification",
    tokenizer="DistilBertTokenizer",
    # PaddleNLP's own is this one behind a call that knows none of today's arguments.
    tokenizer_in=lambda directory: "BertTokenizer",
    masked_lm="DistilBertForMaskedLM",
    head=lambda config: ClassifierHead(_DENSE, ("relu",), "classifier", "dropout"),
    token_types=False,
    config_names={
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
        "seq_classif_dropout": "classifier_dropout",
    },
    other_heads=("vocab_transform.", "vocab_layer_norm.", "vocab_projector."),
    modules={_DENSE: _DENSE},
    layers="transformer.layer",
    layer_modules={
        "attention.q_lin": "self_attn.q_proj",
        "attention.k_lin": "self_attn.k_proj",
        "attention.v_lin": "self_attn.v_proj",
        "attention.out_lin": "self_attn.out_proj",
        "sa_layer_norm": "norm1",
        "ffn.lin1": "linear1",
        "ffn.lin2": "linear2",
        "output_layer_norm": "norm2",
    },
    outside=(f"{_DENSE}.",),
    masked_lm_modules={"vocab_transform": "transform", "vocab_layer_norm": "layer_norm"},
    masked_lm_biases=("vocab_projector.bias",),
    transformers=Transformers("DistilBert", refusal=refusal),
)
