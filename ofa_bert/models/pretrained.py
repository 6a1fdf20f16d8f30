"""Where a pretrained model comes from, and how its weights and its tokenizer are read from there."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from paddle import nn

from ofa_bert.data.tokenization.saving import FILE
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.vocabulary_files import VOCABULARY
from ofa_bert.errors import UserError, first_line
from ofa_bert.files.atomic import MODEL_META, finish_replacement
from ofa_bert.files.hub import fetched
from ofa_bert.files.reading import read_object, refuse_pointer
from ofa_bert.files.weights import find_weights, read_weights
from ofa_bert.models.config_checks import CONFIG_FILES, OTHER_CLASSES, check_config, check_labels, check_model_type
from ofa_bert.models.encoder import answers_per_token, family_of
from ofa_bert.models.families.base import Config
from ofa_bert.models.families.registry import AUTO, family_named, model_class
from ofa_bert.models.model_type import known_to_paddlenlp, model_type_of_source, stated_model_type
from ofa_bert.models.paddlenlp_tokenizer import from_directory, from_name
from ofa_bert.models.parameter_names import is_hugging_face, part_of, to_paddle
from ofa_bert.models.record import HUB, ModelRecord

logger = logging.getLogger(__name__)

# float16 on the disk is float32 here; the next would make a classifier return more than its logits; the last ones
# split the model over devices, or put other layers into it.
_NOT_TAKEN = (
    "torch_dtype", "dtype", "use_cache", "output_hidden_states", "output_attentions", "return_dict",
    "tensor_parallel_degree", "tensor_parallel_rank", "sep_parallel_degree", "tensor_parallel_output", "fuse",
    "quantization_config",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A pretrained model before anything is built from it. `where` is what the user called it."""

    where: str
    config: Mapping[str, object]
    weights: Path
    tokenizer_from: str
    record: ModelRecord
    model_type: str


def locate(name_or_path: str | Path, model_type: str) -> Source:
    """A local directory, or a model that PaddleNLP or a hub knows by that name, which is downloaded to its cache.

    model_type: a family, or AUTO.
    """
    if Path(name_or_path).is_file():
        raise UserError(f"{name_or_path}: is a file; name the directory with config.json and weights")
    finish_replacement(name_or_path)
    if Path(name_or_path).is_dir():
        return _local(Path(name_or_path), model_type)
    known = known_to_paddlenlp(str(name_or_path))
    found = fetched(str(name_or_path)) if known is None else None
    if found is not None:
        source = _local(found.directory, model_type)
        more = {**source.record.more, HUB: found.to_json()}
        return replace(source, where=found.name, record=replace(source.record, more=more))
    named = model_type_of_source(name_or_path) if model_type == AUTO else model_type
    return _known_by_name(str(name_or_path), named)


def _local(directory: Path, model_type: str) -> Source:
    found = [directory / name for name in CONFIG_FILES if (directory / name).is_file()]
    if not found:
        hint = f"; did you mean {directory / 'best'}?" if (directory / "best").is_dir() else ""
        raise UserError(f"{directory}: is no model directory; it has no config.json{hint}")
    meta_file = directory / MODEL_META
    record = ModelRecord.from_json(read_object(meta_file), str(meta_file)) if meta_file.exists() else ModelRecord()
    config = read_object(found[0], finite=True)
    if model_type == AUTO:
        model_type = stated_model_type(str(directory), config, record.model_type)
    return Source(str(directory), config, find_weights(directory), str(directory), record, model_type)


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
    return Source(name, copy.deepcopy(config), Path(path), name, ModelRecord(), model_type)


def build_config(source: Source, model_type: str, num_labels: int | None, overrides: Mapping[str, object]) -> Config:
    """PaddleNLP's configuration object, checked. UserError for another model type or impossible sizes."""
    family = family_named(model_type)
    values = family.renamed(copy.deepcopy(dict(source.config)))
    check_model_type(source.where, values, model_type)
    check_labels(source.where, values)
    config_class = model_class(model_type).config_class
    for key in list(values):
        # A key with the name of a method would take its place.
        method = key != "num_labels" and (key.startswith("_") or hasattr(config_class, key))
        if method or key in _NOT_TAKEN:
            del values[key]
    if num_labels is None and "num_labels" not in values and _chooses(values):
        num_labels = 1
    if family.layer_norm_eps is not None:
        values.setdefault("layer_norm_eps", family.layer_norm_eps)
    if num_labels is not None:
        overrides = {**overrides, "num_labels": num_labels}
    try:
        config, unknown = config_class.from_dict(values, return_unused_kwargs=True, **overrides)
    except Exception as error:  # whatever values of the wrong kind make PaddleNLP raise
        reason = first_line(error)[:120]
        raise UserError(f"{source.where}: its config.json does not describe a model ({reason})") from error
    if unknown:
        raise TypeError(f"a {model_type} configuration has no {', '.join(unknown)}")
    check_config(source.where, config, family)
    return config


def _chooses(values: Mapping[str, object]) -> bool:
    """Whether a configuration is of a model of choices: its classifier has one output, of which it says nothing."""
    named = values.get("architectures")
    return isinstance(named, list) and any(str(name).endswith("ForMultipleChoice") for name in named)


class NamedWeights(NamedTuple):
    """Weights under Paddle's names, and whether they came in Hugging Face's layout."""

    arrays: dict[str, np.ndarray]
    from_hugging_face: bool

    def without(self, *starts: str) -> NamedWeights:
        """All but those whose names start so."""
        return self._replace(arrays={name: array for name, array in self.arrays.items() if not name.startswith(starts)})


def named_weights(source: Source, model_type: str, answers: bool = False) -> NamedWeights:
    """The source's weights under Paddle's names; `answers` as of `to_paddle`."""
    family = family_named(model_type)
    stored = part_of(read_weights(source.weights), family.classifier_part)
    return NamedWeights(to_paddle(stored, family, answers), is_hugging_face(stored))


def fill(model: nn.Layer, source: Source, named: NamedWeights, fresh_heads: bool) -> set[str]:
    """Put the source's weights into `model`; the names of those that stay random.

    With `fresh_heads` a missing classifier or pooler does.

    Every other difference is a UserError that names the parameters: nothing is dropped or random in silence.
    """
    family, weights, expected = family_of(model), named.arrays, model.state_dict()
    if not any(".pooler." in name for name in expected):  # a classifier that reads the first token itself
        weights = {name: array for name, array in weights.items() if ".pooler." not in name}
    if answers_per_token(model):  # reads no part of a head for whole texts
        weights = {name: array for name, array in weights.items() if not name.startswith(family.outside)}
    missing = set(expected) - set(weights)
    unread = (*family.unread, "pooler.") if answers_per_token(model) else family.unread
    fresh = {name for name in missing if name.startswith(tuple(f"{family.model_type}.{own}" for own in unread))}
    if fresh_heads:
        for head in ("classifier.", *family.outside, f"{model.base_model_prefix}.pooler."):
            members = {name for name in expected if name.startswith(head)}
            fresh |= members if members <= missing else set()
    heads = {name for name in missing if ".pooler." in name or name.startswith(("classifier.", *family.outside))}
    _check_names(source, missing - fresh, set(weights) - set(expected), set() if fresh_heads else heads)
    act = family.hugging_face_activation
    if act not in (None, model.config.hidden_act) and named.from_hugging_face and "classifier.dense.weight" in weights:
        raise UserError(
            f"{source.where}: its hidden_act is {model.config.hidden_act}, but Hugging Face's classifier uses {act} all"
            " the same and PaddleNLP's does not; take away the classifier's weights and finetune again"
        )
    check_shapes(model, weights, source.where)
    put_weights(model, weights)
    if fresh:
        logger.info("%s: has no %s; they start at random values", source.where, ", ".join(sorted(fresh)))
    return fresh


def _check_names(source: Source, missing: set[str], unexpected: set[str], heads: set[str]) -> None:
    """heads: of those that are missing what a fine-tuning would start at random."""
    if not missing and not unexpected:
        return
    if missing <= heads and not unexpected:
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
            raise UserError(f"{where}: was finetuned for another task ({heads[0]}); {OTHER_CLASSES}")
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


def load_tokenizer(source: Source, model_type: str, vocab_size: int) -> Cutter:
    """The tokenizer that the model is trained and deployed with: the source's tokenizer.json, or one that does what its
    vocabulary and settings say. PaddleNLP's own only for settings that tokenizer.json does not know.

    UserError for a tokenizer that is missing, damaged, of another family or larger than the model.
    """
    directory = Path(source.tokenizer_from)
    if directory.is_dir():
        for pattern in ("*token*.json", "vocab.*", "merges.txt", "*.model"):
            for path in sorted(directory.glob(pattern)):
                refuse_pointer(path)
    try:
        if not directory.is_dir() and known_to_paddlenlp(source.tokenizer_from) is None:
            found = fetched(source.tokenizer_from)
            directory = directory if found is None else found.directory
        if directory.is_dir():
            tokenizer: Cutter = read_tokenizer(directory, model_type) or from_directory(directory, model_type)
        else:
            tokenizer = from_name(source.tokenizer_from, model_type)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged vocabulary or configuration makes PaddleNLP raise
        if not directory.is_dir() and source.tokenizer_from != source.where:
            raise UserError(
                f"`tokenizer_name_or_path` {source.tokenizer_from}: neither a local directory nor a tokenizer that"
                f" PaddleNLP can fetch for a {model_type} model ({first_line(error)[:60]}); name a directory with"
                f" {VOCABULARY} or {FILE}"
            ) from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        raise UserError(f"{source.where}: its tokenizer cannot be loaded ({reason})") from error
    if len(tokenizer) > vocab_size:
        raise UserError(
            f"{source.where}: the tokenizer knows {len(tokenizer)} tokens, the model embeds {vocab_size};"
            " they do not belong together"
        )
    return tokenizer
