"""PP-MiniLM: BERT, distilled; PaddleNLP has neither a masked LM nor a classifier of tokens of it."""

from __future__ import annotations

from ofa_bert.models.families.base import Family, pooled

PPMINILM = Family(
    model_type="ppminilm",
    classifier="PPMiniLMForSequenceClassification",
    tokenizer="PPMiniLMTokenizer",
    head=lambda config: pooled("ppminilm"),
)
