"""BERT."""

from __future__ import annotations

from ofa_bert.models.families.base import ClassifierHead, Config, Family, Transformers, pooled


def head(config: Config) -> ClassifierHead:
    return pooled("bert", ("tanh",) if config.pool_act == "tanh" else ())


def refusal(config: Config, head: str) -> str | None:
    return None if config.pool_act == "tanh" else f"pool_act {config.pool_act}; transformers' pooler has tanh"


BERT = Family(
    model_type="bert",
    classifier="BertForSequenceClassification",
    token_classifier="BertForTokenClassification",
    token_pooler=True,
    tokenizer="BertTokenizer",
    masked_lm="BertForMaskedLM",
    head=head,
    transformers=Transformers("Bert", refusal=refusal),
    has_peers=True,
)
