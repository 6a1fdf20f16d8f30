"""BERT."""

from __future__ import annotations

from ofa_bert.models.families.base import ClassifierHead, Config, Family, pooled


def head(config: Config) -> ClassifierHead:
    return pooled("bert", ("tanh",) if config.pool_act == "tanh" else ())


BERT = Family(
    model_type="bert",
    classifier="BertForSequenceClassification",
    token_classifier="BertForTokenClassification",
    token_pooler=True,
    tokenizer="BertTokenizer",
    masked_lm="BertForMaskedLM",
    head=head,
    has_peers=True,
)
