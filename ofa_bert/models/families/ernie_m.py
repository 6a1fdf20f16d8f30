"""ERNIE-M: many languages, no token types, positions from 2 on; PaddleNLP's masks [CLS] unless it is told padding."""

from __future__ import annotations

from ofa_bert.models.families.base import Family, Transformers, pooled

ERNIE_M = Family(
    model_type="ernie_m",
    classifier="ErnieMForSequenceClassification",
    token_classifier="ErnieMForTokenClassification",
    token_pooler=True,
    tokenizer="ErnieMTokenizer",
    head=lambda config: pooled("ernie_m"),
    token_types=False,
    told_what_to_mask=True,
    ffn_from_config=True,
    first_position=2,
    layer_norm_eps=1e-5,
    modules={"embeddings.layer_norm": "embeddings.layer_norm"},
    layers="encoder.layers",
    in_theirs=".self_attn.self_attn.",
    layer_modules={
        "self_attn.self_attn.q_proj": "self_attn.q_proj",
        "self_attn.self_attn.k_proj": "self_attn.k_proj",
        "self_attn.self_attn.v_proj": "self_attn.v_proj",
        "self_attn.out_proj": "self_attn.out_proj",
        "norm1": "norm1",
        "linear1": "linear1",
        "linear2": "linear2",
        "norm2": "norm2",
    },
    transformers=Transformers("ErnieM", until="4", tokenizer="ErnieMTokenizer"),
)
