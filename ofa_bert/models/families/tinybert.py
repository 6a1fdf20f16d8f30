"""TinyBERT: BERT with projections to its teacher's width, and a ReLU behind the pooler in place of dropout."""

from __future__ import annotations

from ofa_bert.models.families.base import ClassifierHead, Config, Family, pooled


def head(config: Config) -> ClassifierHead:
    activations = ("tanh", "relu") if config.pool_act == "tanh" else ("relu",)
    return pooled("tinybert", activations, dropout=None)


TINYBERT = Family(
    model_type="tinybert",
    classifier="TinyBertForSequenceClassification",
    tokenizer="TinyBertTokenizer",
    masked_lm="TinyBertForPretraining",
    head=head,
    more_shape=lambda config: {"fit_size": config.fit_size},
    per_hidden_state="fit_denses",
    unread=("fit_dense",),  # both the list and the one that all hidden states share
)
