"""ERNIE-Gram: ERNIE without the kind of task, embeddings as wide as the states, and no masked LM in PaddleNLP."""

from __future__ import annotations

from ofa_bert.models.families.base import Family, pooled

ERNIE_GRAM = Family(
    model_type="ernie_gram",
    classifier="ErnieGramForSequenceClassification",
    token_classifier="ErnieGramForTokenClassification",
    token_pooler=True,
    tokenizer="ErnieGramTokenizer",
    head=lambda config: pooled("ernie_gram"),
    sizes=("embedding_size",),
    equal_to_hidden=("embedding_size",),
    refused={"rel_pos_size": "PaddleNLP's model reads no relative positions, so it is not the one that was trained"},
    layer_norm_eps=1e-5,
)
