"""RoBERTa: no pooler, positions that count from after the padding token's id, and three kinds of tokenizers."""

from __future__ import annotations

from pathlib import Path

from ofa_bert.models.families.base import TWO_LAYERS, Family, Transformers, two_layers
from ofa_bert.tasks.heads import CONTEXTS, ONE_LABEL, TAGS


def tokenizer_in(directory: Path) -> str:
    """By the files, not by tokenizer_config.json: Hugging Face writes no `init_class` there."""
    return "RobertaBPETokenizer" if (directory / "vocab.json").is_file() else "RobertaChineseTokenizer"


ROBERTA = Family(
    model_type="roberta",
    classifier="RobertaForSequenceClassification",
    token_classifier="RobertaForTokenClassification",
    tokenizer="RobertaTokenizer",
    masked_lm="RobertaForMaskedLM",
    head=lambda config: two_layers("tanh"),
    tokenizer_in=tokenizer_in,
    positions_after_padding=True,
    aliases=("xlm-roberta",),  # the same model, cut by Unigram
    modules=TWO_LAYERS,
    transformers=Transformers("Roberta", (ONE_LABEL, TAGS, CONTEXTS)),
)
