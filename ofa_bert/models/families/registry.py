"""The families of encoders, and PaddleNLP's classes for them. Imports no Paddle."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ofa_bert.errors import UserError
from ofa_bert.models.families.base import Family
from ofa_bert.models.families.bert import BERT
from ofa_bert.models.families.distilbert import DISTILBERT
from ofa_bert.models.families.electra import ELECTRA
from ofa_bert.models.families.ernie import ERNIE
from ofa_bert.models.families.ernie_gram import ERNIE_GRAM
from ofa_bert.models.families.ernie_m import ERNIE_M
from ofa_bert.models.families.paddlenlp import ModelClass, TokenizerClass
from ofa_bert.models.families.ppminilm import PPMINILM
from ofa_bert.models.families.roberta import ROBERTA
from ofa_bert.models.families.tinybert import TINYBERT
from ofa_bert.models.families.without_types import with_types
from ofa_bert.options import option
from ofa_bert.system import interrupts

FAMILIES = {
    family.model_type: family
    for family in (
        BERT,
        ERNIE,
        ROBERTA,
        TINYBERT,
        ELECTRA,
        DISTILBERT,
        PPMINILM,
        ERNIE_GRAM,
        ERNIE_M,
    )
}
MODEL_TYPES = tuple(FAMILIES)
ALIASES = {alias: family.model_type for family in FAMILIES.values() for alias in family.aliases}
DEFAULT = BERT.model_type  # of a model that does not say its own
AUTO = "auto"  # in place of one of them: what the model says


def model_type_option(of: str = "the model") -> str:
    """The option of that name, wherever a model is named."""
    return option(f"family of {of}; auto: what its config.json says", AUTO, choices=(AUTO, *MODEL_TYPES))


def family_named(model_type: str) -> Family:
    """The family of that name. UserError when there is none."""
    if model_type not in FAMILIES:
        raise UserError(
            f"`model_type` {model_type}: not supported; its encoder must be paddle.nn.TransformerEncoder,"
            f" as in {', '.join(MODEL_TYPES)}"
        )
    return FAMILIES[model_type]


def model_class(model_type: str, per_token: bool = False) -> ModelClass:
    """PaddleNLP's classifier of texts, or of every token; UserError where it has none.

    It is called with (input_ids, token_type_ids) in a family without types too.
    """
    family = family_named(model_type)
    found: ModelClass = getattr(_transformers(), _classifier(model_type, per_token))
    return found if family.token_types else with_types(found, family.told_what_to_mask, family.ffn_from_config)


def check_per_token(model_type: str) -> None:
    """UserError for a family without a model that answers for every token."""
    _classifier(model_type, per_token=True)


def _classifier(model_type: str, per_token: bool) -> str:
    family = family_named(model_type)
    name = family.token_classifier if per_token else family.classifier
    if name is None:
        able = ", ".join(each.model_type for each in FAMILIES.values() if each.token_classifier)
        raise UserError(
            f"`model_type` {model_type}: PaddleNLP has no model of this family that answers for every token; take one"
            f" of {able}"
        )
    return name


def tokenizer_class(model_type: str, directory: Path | None = None) -> TokenizerClass:
    """The family's tokenizer, the one that the files in `directory` are for."""
    family = family_named(model_type)
    name = family.tokenizer
    if directory is not None and directory.is_dir() and family.tokenizer_in:
        name = family.tokenizer_in(directory)
    found: TokenizerClass = getattr(_transformers(), name)
    return found


def _transformers() -> ModuleType:
    # Imported here: PaddleNLP costs seconds, and a wrong model_type is refused before that.
    import paddlenlp.transformers

    interrupts.check()  # the import takes SIGTERM's handler away
    module: ModuleType = paddlenlp.transformers
    return module
