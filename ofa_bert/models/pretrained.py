"""Where a pretrained model comes from, and how its weights and its tokenizer are read from there."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn
from paddle.nn import functional

from ofa_bert.data.text_tokenizer import TextTokenizer
from ofa_bert.data.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META, finish_replacement, read_json
from ofa_bert.files.weights import find_weights, read_weights
from ofa_bert.models.encoder import family_of
from ofa_bert.models.families.base import Family
from ofa_bert.models.families.registry import MODEL_TYPES, family_named, model_class
from ofa_bert.models.paddlenlp_tokenizer import from_directory, from_name
from ofa_bert.models.parameter_names import is_hugging_face, part_of, to_paddle

logger = logging.getLogger(__name__)

_CONFIG_FILES = ("config.json", "model_config.json")  # the second is PaddleNLP's name up to 2.4
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "num_labels",
)
# float16 on the disk is float32 here; the others would make a classifier return more than its logits.
_NOT_TAKEN = ("torch_dtype", "dtype", "use_cache", "output_hidden_states", "output_attentions", "return_dict")


@dataclass(frozen=True)
class Source:
    """A pretrained model before anything is built from it. `where` is what the user called it."""

    where: str
    config: dict[str, Any]
    weights: Path
    tokenizer_from: str
    meta: dict[str, Any]


def locate(name_or_path: str | Path, model_type: str) -> Source:
    """A local directory, or a model that PaddleNLP knows by that name and downloads to its cache."""
    if Path(name_or_path).is_file():
        raise UserError(f"{name_or_path}: is a file; name the directory with config.json and weights")
    finish_replacement(name_or_path)
    if Path(name_or_path).is_dir():
        return _local(Path(name_or_path))
    return _known_by_name(str(name_or_path), model_type)


def _local(directory: Path) -> Source:
    found = [directory / name for name in _CONFIG_FILES if (directory / name).is_file()]
    if not found:
        hint = f"; did you mean {directory / 'best'}?" if (directory / "best").is_dir() else ""
        raise UserError(f"{directory}: is no model directory; it has no config.json{hint}")
    meta_file = directory / MODEL_META
    meta = read_json(meta_file) if meta_file.exists() else {}
    config = read_json(found[0])
    for path, value in ((found[0], config), (meta_file, meta)):
        if not isinstance(value, dict):
            raise UserError(f"{path}: must hold a JSON object, not {type(value).__name__}")
    return Source(str(directory), config, find_weights(directory), str(directory), meta)


def _known_by_name(name: str, model_type: str) -> Source:
    """PaddleNLP downloads but does not unpickle: its own from_pretrained would run a hostile pickle."""
    cls = model_class(model_type)
    try:
        config, _ = cls.config_class.get_config_dict(name)
        path, *_ = cls._resolve_model_file_path(name, convert_from_torch=True)
    except Exception as error:  # PaddleNLP raises OSError, AssertionError, requests' and its own errors here
        reason = re.split(r"\n|\. ", str(error))[0]
        raise UserError(
            f"{name}: neither a local directory nor a model that PaddleNLP can fetch ({reason});"
            " name a directory with config.json, weights and vocabulary, or check the network"
        ) from error
    return Source(name, copy.deepcopy(config), Path(path), name, {})


def build_config(source: Source, model_type: str, num_labels: int | None, overrides: Mapping[str, Any]) -> Any:
    """PaddleNLP's configuration object, checked. UserError for another model type or impossible sizes."""
    values = copy.deepcopy(source.config)
    stated = values.get("model_type")
    if stated is not None and stated != model_type:
        supported = stated in MODEL_TYPES
        cure = f"use --model_type {stated}" if supported else f"supported are {', '.join(MODEL_TYPES)}"
        raise UserError(f"{source.where}: is a {stated} model, not {model_type}; {cure}")
    for key in _NOT_TAKEN:
        values.pop(key, None)
    if num_labels is not None:
        overrides = {**overrides, "num_labels": num_labels}
    try:
        config, unknown = model_class(model_type).config_class.from_dict(values, return_unused_kwargs=True, **overrides)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{source.where}: its config.json does not describe a model ({error})") from error
    if unknown:
        raise TypeError(f"a {model_type} configuration has no {', '.join(unknown)}")
    _check_config(source.where, config, family_named(model_type))
    return config


def _check_config(where: str, config: Any, family: Family) -> None:
    sizes = {name: getattr(config, name, None) for name in (*_SIZES, *family.sizes)}
    problems = [f"{name} is {value!r}" for name, value in sizes.items() if type(value) is not int or value < 1]
    if not problems and config.hidden_size % config.num_attention_heads:
        problems.append(f"{config.num_attention_heads} heads do not divide hidden_size {config.hidden_size}")
    if not hasattr(functional, str(config.hidden_act)):
        problems.append(f"hidden_act {config.hidden_act!r} is no activation of Paddle")
    elif family.activations is not None and config.hidden_act not in family.activations:
        problems.append(f"hidden_act {config.hidden_act!r} is none of {', '.join(family.activations)}")
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        problems.append(f"position_embedding_type {config.position_embedding_type!r} is not supported")
    if not isinstance(config.layer_norm_eps, (int, float)):
        problems.append(f"layer_norm_eps is {config.layer_norm_eps!r}")
    if problems:
        raise UserError(f"{where}: its config.json cannot be used: {'; '.join(problems)}")


def fill(model: nn.Layer, source: Source, fresh_heads: bool) -> None:
    """Put the source's weights into `model`. With `fresh_heads`, a missing classifier or pooler stays random.

    Every other difference is a UserError that names the parameters: nothing is dropped or random in silence.
    """
    family = family_of(model)
    stored = part_of(read_weights(source.weights), family.classifier_part)
    weights, expected = to_paddle(stored, family), model.state_dict()
    if not any(".pooler." in name for name in expected):  # a classifier that reads the first token itself
        weights = {name: array for name, array in weights.items() if ".pooler." not in name}
    missing = set(expected) - set(weights)
    fresh = {name for name in missing if name.startswith(tuple(f"{family.model_type}.{own}" for own in family.unread))}
    if fresh_heads:
        for head in ("classifier.", f"{model.base_model_prefix}.pooler."):
            members = {name for name in expected if name.startswith(head)}
            fresh |= members if members <= missing else set()
    _check_names(source, missing - fresh, set(weights) - set(expected), fresh_heads)
    act = family.hugging_face_activation
    if act not in (None, model.config.hidden_act) and is_hugging_face(stored) and "classifier.dense.weight" in weights:
        raise UserError(
            f"{source.where}: its hidden_act is {model.config.hidden_act}, but Hugging Face's classifier uses {act} all"
            " the same and PaddleNLP's does not; take away the classifier's weights and finetune again"
        )
    check_shapes(model, weights, source.where)
    put_weights(model, weights)
    if fresh:
        logger.info("%s: has no %s; they start at random values", source.where, ", ".join(sorted(fresh)))


def _check_names(source: Source, missing: set[str], unexpected: set[str], fresh_heads: bool) -> None:
    if not missing and not unexpected:
        return
    heads = {name for name in missing if ".pooler." in name or name.startswith("classifier.")}
    if missing == heads and not unexpected and not fresh_heads:
        raise UserError(f"{source.where}: is an encoder without a classifier; finetune it with run_glue.py")
    raise UserError(
        f"{source.where}: its weights are not those of the model that its config.json describes:"
        f" missing {_some(missing)}; unexpected {_some(unexpected)}"
    )


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:6]) or "none"
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def check_shapes(model: nn.Layer, weights: Mapping[str, np.ndarray], where: str) -> None:
    """UserError when an array has another shape than the parameter of that name."""
    parameters = model.state_dict()
    wrong = [
        f"{name} is {list(array.shape)}, the model needs {parameters[name].shape}"
        for name, array in weights.items()
        if list(array.shape) != list(parameters[name].shape)
    ]
    if wrong:
        heads = [text for text in wrong if text.startswith("classifier.")]
        if len(heads) == len(wrong):
            raise UserError(f"{where}: was finetuned for a task with another number of labels ({heads[0]})")
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(f"{where}: weights of the wrong shape: {'; '.join(wrong[:3])}{more}")


def put_weights(model: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Set the parameters that `weights` names, as float32."""
    parameters = model.state_dict()
    for name, array in weights.items():
        parameters[name].set_value(np.asarray(array, np.float32))


def set_epsilon(model: nn.Layer) -> None:
    """Give every LayerNorm the epsilon of the configuration, which PaddleNLP's models of some families ignore."""
    for layer in model.sublayers():
        if isinstance(layer, nn.LayerNorm):
            layer._epsilon = float(model.config.layer_norm_eps)


def load_tokenizer(source: Source, model_type: str, vocab_size: int) -> TextTokenizer | Any:
    """The tokenizer that the model is trained and deployed with: the source's tokenizer.json, or one that does what its
    vocabulary and settings say. PaddleNLP's own only for settings that tokenizer.json does not know.

    UserError for a tokenizer that is missing, damaged, of another family or larger than the model.
    """
    directory = Path(source.tokenizer_from)
    try:
        if directory.is_dir():
            tokenizer = read_tokenizer(directory, model_type) or from_directory(directory, model_type)
        else:
            tokenizer = from_name(source.tokenizer_from, model_type)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged vocabulary or configuration makes PaddleNLP raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        raise UserError(f"{source.where}: its tokenizer cannot be loaded ({reason})") from error
    if len(tokenizer) > vocab_size:
        raise UserError(
            f"{source.where}: the tokenizer knows {len(tokenizer)} tokens, the model embeds {vocab_size};"
            " they do not belong together"
        )
    return tokenizer
