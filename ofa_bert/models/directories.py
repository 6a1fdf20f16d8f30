"""Models as directories: read from many layouts, written at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import (
    MODEL_META,
    atomic_directory,
    write_json_atomic,
)
from ofa_bert.files.weights import write_weights
from ofa_bert.models.class_order import arrange_classes
from ofa_bert.models.config_checks import OTHER_CLASSES, check_head, check_sizes, no_pairs
from ofa_bert.models.encoder import backbone, encoder_layers, has_token_types, resize, shape_of
from ofa_bert.models.families.registry import AUTO, family_named, model_class
from ofa_bert.models.pretrained import (
    Source,
    build_config,
    fill,
    load_tokenizer,
    locate,
    named_weights,
    set_epsilon,
)
from ofa_bert.models.record import ModelRecord, check_shape
from ofa_bert.tasks.task import Task

WEIGHTS = "model.safetensors"


class BareEncoder(nn.Layer):
    """Built by `without_classifier`. `config` and `base_model_prefix` are the family's, as `save_model` wants them."""

    def __init__(self, classifier: nn.Layer) -> None:
        super().__init__()
        self.base_model_prefix, self.config = classifier.base_model_prefix, classifier.config
        setattr(self, self.base_model_prefix, backbone(classifier))


def without_classifier(classifier: nn.Layer) -> BareEncoder:
    """Its encoder; the class has the name of PaddleNLP's base class, which save_model writes into config.json."""
    return type(type(backbone(classifier)).__name__, (BareEncoder,), {})(classifier)


def load_model(
    name_or_path: str | Path,
    model_type: str = AUTO,
    num_labels: int | None = None,
    tokenizer_name_or_path: str | None = None,
    *,
    task: Task | None = None,
    fresh_head: bool = False,
    **config_overrides: object,
) -> tuple[nn.Layer, Cutter, ModelRecord]:
    """(model, tokenizer, record) from a directory or a PaddleNLP model name.

    A directory is in PaddleNLP's or Hugging Face's layout, float32 or half precision, with or without the
    encoder's prefix and pooler; or one that `save_model` wrote, sub-models included. It is only read.
    The model is float32 and in training mode. With `num_labels`, a classifier or pooler that the source lacks
    starts at random values; without it the source must be complete; with `fresh_head` they start there whatever the
    source has. `task`: puts the classes of a classifier from elsewhere into its order. `config_overrides` change the
    configuration, for example hidden_dropout_prob=0.0. UserError for anything that does not fit: files, model
    type, sizes, names or shapes of weights, vocabulary.
    """
    source = locate(name_or_path, model_type)
    model_type = source.model_type
    config = build_config(source, model_type, num_labels, config_overrides)
    sub_model = source.record.sub_model
    if sub_model is not None:
        config.num_hidden_layers = sub_model.depth
    named = _heads_named(source)
    per_token, extracts = _per_token(source, named, task, fresh_head), _extracts(source, named, task)
    weights = named_weights(source, model_type, extracts)
    if fresh_head or (_OF_ANSWERS in named and not extracts):
        weights = weights.without("classifier.", *family_named(model_type).outside)
    if num_labels is not None and not fresh_head:
        check_head(source.where, weights.arrays, num_labels)
    build = model_class(model_type, per_token)
    check_sizes(source.where, config, weights.arrays, build.base_model_prefix, sub_model)
    model = build(config)
    if sub_model is not None:
        resize(model, sub_model.heads, sub_model.ffn)
    check_shape(source.where, source.record, shape_of(model), own_head=num_labels is None)
    set_epsilon(model)
    fresh = fill(model, source, weights, fresh_heads=num_labels is not None)
    own_head = not any(name.startswith("classifier.") for name in fresh)
    if task is not None and own_head and source.record.task is None:
        arrange_classes(source.where, model, source.config, task)
    if tokenizer_name_or_path is not None:
        source = replace(source, tokenizer_from=tokenizer_name_or_path)
    read = load_tokenizer(source, model_type, config.vocab_size)
    if task is not None and len(task.text_columns) == 2 and token_types(read) > _token_types_of(model):
        raise UserError(no_pairs(source.where, task))
    return model, read, source.record


_OF_TOKENS, _OF_TEXTS, _OF_ANSWERS = "ForTokenClassification", "ForSequenceClassification", "ForQuestionAnswering"


def _heads_named(source: Source) -> set[str]:
    """Those of the heads above that its config.json says it has."""
    architectures = source.config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    return {head for head in (_OF_TOKENS, _OF_TEXTS, _OF_ANSWERS) if any(str(name).endswith(head) for name in named)}


def _per_token(source: Source, named: set[str], task: Task | None, fresh_head: bool) -> bool:
    """Whether it answers for every token: as the task wants it, its record says, or else its config.json.

    UserError for a classifier of the other sort, which has weights of the same shape.
    """
    known = task or source.record.task
    if known is None:
        return bool(named & {_OF_TOKENS, _OF_ANSWERS})
    per_token = known.kind.per_token
    if not fresh_head and (_OF_TEXTS if per_token else _OF_TOKENS) in named:
        answers, wanted = ("texts as a whole", "every token") if per_token else ("for every token", "whole texts")
        raise UserError(f"{source.where}: answers {answers}, and {known.name} is about {wanted}; {OTHER_CLASSES}")
    return per_token


def _extracts(source: Source, named: set[str], task: Task | None) -> bool:
    """Whether its head finds answers in contexts and is wanted; for another task it is a start without a head."""
    known = task or source.record.task
    return _OF_ANSWERS in named and (known is None or known.kind.windowed)


class LoadedEncoder(NamedTuple):
    model: nn.Layer
    tokenizer: Cutter
    record: ModelRecord
    has_classifier: bool


def load_encoder(name_or_path: str, model_type: str, tokenizer_name_or_path: str | None) -> LoadedEncoder:
    """An encoder as it came, in PaddleNLP's or Hugging Face's layout: no part of it starts at random values.

    A classifier stays; heads of pre-training are left out. UserError for an exported sub-model.
    """
    source = locate(name_or_path, model_type)
    if source.record.is_sub_model:
        raise UserError(f"{name_or_path}: is an exported sub-model; name the encoder, or the model it was made from")
    names = set(named_weights(source, source.model_type).arrays)
    has_classifier = any(name.startswith("classifier.") for name in names)
    model, tokenizer, record = load_model(
        name_or_path, source.model_type, None if has_classifier else 2, tokenizer_name_or_path
    )
    if not has_classifier:
        model = without_classifier(model)
        if not any(".pooler." in name for name in names) and hasattr(backbone(model), "pooler"):
            del backbone(model).pooler
    return LoadedEncoder(model, tokenizer, record, has_classifier)


def _token_types_of(model: nn.Layer) -> float:
    """How many kinds it can read: any number, where it looks at none."""
    return model.config.type_vocab_size if has_token_types(model) else math.inf


def token_types(tokenizer: Cutter) -> int:
    """How many kinds of tokens a pair of texts is cut into."""
    return 1 + max(tokenizer(["a"], ["a"])["token_type_ids"][0])


def save_model(
    directory: str | Path,
    model: nn.Layer,
    tokenizer: Cutter,
    record: ModelRecord,
    beside: Mapping[str, nn.Layer] | None = None,
) -> None:
    """Write config.json, model.safetensors, the tokenizer and ofa_config.json (`record`), all at once.

    The weights of every layer in `beside` go to <name>.safetensors, which PaddleNLP does not look at.

    Plain PaddleNLP's from_pretrained reads the directory of a full model. An extracted sub-model needs its
    `SubModelConfig` in its record, for `load_model` to give its layers their shapes.
    A kill leaves the old directory or the new one; RunError when the disk is full or refuses.
    """
    model = bare(model)
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.num_hidden_layers = len(encoder_layers(model))
    if record.task is not None and record.task.labels:  # to be read elsewhere: who knows our record needs no names
        config.id2label = dict(enumerate(record.task.labels))
        config.label2id = {label: number for number, label in config.id2label.items()}
    with atomic_directory(directory) as new:
        config.save_pretrained(str(new))
        tokenizer.save_pretrained(str(new))
        write_weights(new / WEIGHTS, arrays_of(model))
        for name, layer in (beside or {}).items():
            write_weights(new / f"{name}.safetensors", arrays_of(layer))
        write_json_atomic(new / MODEL_META, record.to_json())


def arrays_of(model: nn.Layer) -> dict[str, np.ndarray]:
    """Every parameter and buffer of the model, by structured name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def bare(model: nn.Layer) -> nn.Layer:
    return getattr(model, "_layers", model)  # what DataParallel wraps
