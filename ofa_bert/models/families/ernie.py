"""ERNIE 1 to 3: BERT with an embedding of the kind of task, which has one row for all tokens."""

from __future__ import annotations

from collections.abc import Mapping

from ofa_bert.models.families.base import Config, Family, Transformers, pooled

_TASKS = "task_type_embeddings"


def more_shape(config: Config) -> Mapping[str, int]:
    return {"task_type_vocab_size": config.task_type_vocab_size} if config.use_task_id else {}


def shared_row(config: Config) -> tuple[str, int] | None:
    return (_TASKS, config.task_id) if config.use_task_id else None


def more_config(config: Config) -> Mapping[str, object]:
    """Which row every token adds, transformers cannot be told: it is the first, so ours is written there."""
    return {"use_task_id": bool(config.use_task_id), "task_type_vocab_size": config.task_type_vocab_size}


ERNIE = Family(
    model_type="ernie",
    classifier="ErnieForSequenceClassification",
    token_classifier="ErnieForTokenClassification",
    token_pooler=True,
    tokenizer="ErnieTokenizer",
    masked_lm="ErnieForMaskedLM",
    head=lambda config: pooled("ernie"),
    more_shape=more_shape,
    shared_row=shared_row,
    transformers=Transformers("Ernie", more_config=more_config),
    modules={f"embeddings.{_TASKS}": f"embeddings.{_TASKS}"},
)
