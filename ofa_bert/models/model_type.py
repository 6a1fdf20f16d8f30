"""Which family a model is of, from what lies beside its weights. Imports no Paddle."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.files.hub import fetched
from ofa_bert.files.reading import read_object
from ofa_bert.models.config_checks import CONFIG_FILES, config_parts
from ofa_bert.models.families.refused import REFUSED
from ofa_bert.models.families.registry import ALIASES, AUTO, DEFAULT, FAMILIES, MODEL_TYPES, model_class
from ofa_bert.models.record import best_of
from ofa_bert.reporting import one_line, shown

logger = logging.getLogger(__name__)


class _Source(Protocol):
    """A frozen dataclass with this option."""

    @property
    def model_type(self) -> str: ...


S = TypeVar("S", bound=_Source)


def with_model_type(source: S, name_or_path: str | Path) -> S:
    """The source with the family of that model, where nobody named one: what is trained from it and recorded."""
    if source.model_type != AUTO:
        return source
    found = model_type_of_source(name_or_path)
    return dataclasses.replace(source, model_type=found)  # type: ignore[type-var]


def model_type_of_source(name_or_path: str | Path) -> str:
    """Of a local directory, or of a model that PaddleNLP or a hub knows by that name. UserError for another family.

    What is no model at all is taken for the default: whoever loads it says what is wrong.
    """
    where = Path(best_of(str(name_or_path)))
    if not where.is_dir():
        return _of_name(str(name_or_path))
    found = [where / name for name in CONFIG_FILES if (where / name).is_file()]
    if not found:
        return DEFAULT
    meta = where / MODEL_META
    recorded = read_object(meta).get("model_type") if meta.is_file() else None
    return stated_model_type(str(where), read_object(found[0]), recorded)


def stated_model_type(where: str, config: Mapping[str, object], recorded: object = None) -> str:
    """What a config.json says: its model_type, or the names of its classes; else the record beside it.

    UserError for a family that is not supported.
    """
    named = config.get("model_type")
    if named is not None:
        if isinstance(named, str) and ALIASES.get(named, named) in MODEL_TYPES:
            return ALIASES.get(named, named)
        family = one_line(named, 80) if isinstance(named, str) else shown(named)
        why = f", {REFUSED[family]}" if family in REFUSED else ""
        raise UserError(f"{where}: is a {family} model{why}; supported are {', '.join(MODEL_TYPES)}")
    if recorded in MODEL_TYPES:
        return str(recorded)
    for name in _class_names(config):
        for known in FAMILIES.values():
            # BertForSequenceClassification, BertModel; not ErnieMModel.
            if re.match(rf"{known.classifier.partition('For')[0]}(For|Model)", name):
                return known.model_type
    logger.info("%s: its config.json does not say which family it is of; taken for %s", where, DEFAULT)
    return DEFAULT


def _class_names(config: Mapping[str, object]) -> list[str]:
    """`architectures`, and `init_class` as PaddleNLP wrote it up to 2.4, in whatever the file has there."""
    names: list[object] = []
    for part in config_parts(config):
        listed = part.get("architectures")
        names += listed if isinstance(listed, list) else []
        names.append(part.get("init_class"))
    return [name for name in names if isinstance(name, str)]


def known_to_paddlenlp(name: str) -> str | None:
    """The family of a model that PaddleNLP has under that name, asking nobody; None when it has none."""
    for model_type in MODEL_TYPES:
        if name in model_class(model_type).config_class.pretrained_init_configuration:
            return model_type
    return None


def _of_name(name: str) -> str:
    known = known_to_paddlenlp(name)
    if known is not None:
        return known
    found = fetched(name)
    if found is not None:
        return model_type_of_source(found.directory)
    try:
        config, _ = model_class(DEFAULT).config_class.get_config_dict(name)
    except Exception:  # OSError, AssertionError, requests' and its own errors; whoever loads the model tells them
        return DEFAULT
    return stated_model_type(name, config)
