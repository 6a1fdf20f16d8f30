"""The families of encoders, and PaddleNLP's classes for them. Imports no Paddle."""

from __future__ import annotations

from typing import Any

from ofa_bert.errors import UserError
from ofa_bert.system import interrupts

# model_type -> (classification model, tokenizer), both names in paddlenlp.transformers.
_FAMILIES = {
    "bert": ("BertForSequenceClassification", "BertTokenizer"),
    "ernie": ("ErnieForSequenceClassification", "ErnieTokenizer"),
    "roberta": ("RobertaForSequenceClassification", "RobertaTokenizer"),
    "tinybert": ("TinyBertForSequenceClassification", "TinyBertTokenizer"),
}


def model_class(model_type: str) -> Any:
    return _from_paddlenlp(model_type, 0)


def tokenizer_class(model_type: str) -> Any:
    return _from_paddlenlp(model_type, 1)


def _from_paddlenlp(model_type: str, which: int) -> Any:
    if model_type not in _FAMILIES:
        raise UserError(
            f"--model_type {model_type}: not supported; its encoder must be paddle.nn.TransformerEncoder,"
            f" as in {', '.join(MODEL_TYPES)}"
        )
    # Imported here: PaddleNLP costs seconds, and a wrong model_type is refused before that.
    import paddlenlp.transformers

    interrupts.check()
    return getattr(paddlenlp.transformers, _FAMILIES[model_type][which])


# Families whose encoder is paddle.nn.TransformerEncoder, whose layers the supernet slices.
MODEL_TYPES = ("bert", "ernie", "roberta", "tinybert")
