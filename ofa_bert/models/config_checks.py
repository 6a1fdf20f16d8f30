"""Whether a config.json describes a model that can be, and the one whose weights lie beside it. Imports no Paddle.

Everything here runs before a model is built: a million layers, or a vocabulary of 10^12, must cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.models.families.base import Config, Family
from ofa_bert.models.families.registry import ALIASES, MODEL_TYPES, family_named
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task

CONFIG_FILES = ("config.json", "model_config.json")  # the second is PaddleNLP's name up to 2.4
# The element-wise functions of paddle.nn.functional that need no argument.
ACTIVATIONS = (
    "gelu", "relu", "relu6", "tanh", "sigmoid", "silu", "swish", "mish", "elu", "selu", "celu", "leaky_relu",
    "hardswish", "hardsigmoid", "hardtanh", "softplus", "softsign", "tanhshrink", "softshrink", "hardshrink",
    "log_sigmoid",
)  # fmt: skip
# What other libraries call their approximations of Paddle's gelu -> (ours, the largest difference between the two).
_NEAR = {
    "gelu_new": ("gelu", "0.0005"),
    "gelu_fast": ("gelu", "0.0005"),
    "gelu_pytorch_tanh": ("gelu", "0.0005"),
    "gelu_python": ("gelu", "0"),
    "quick_gelu": ("gelu", "0.021"),
}
OTHER_CLASSES = "take a model of this task, or give run_glue.py `fresh_head` to finetune a new classifier"
MOST_LABELS = 100_000
_MOST_FIT = 1 << 14  # TinyBERT's projections have its teacher's width
_MOST_EPSILON = 1e-3  # that Paddle's LayerNorm takes
_FFN_TO_HIDDEN = 32  # no encoder has more than 5
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
_LABELS = ("num_labels", "num_classes")
# What a size of the configuration is in the weights: parameter without prefix, and axis.
_IN_WEIGHTS = {
    "vocab_size": ("embeddings.word_embeddings.weight", 0),
    "hidden_size": ("encoder.layers.0.self_attn.q_proj.weight", 0),
    "max_position_embeddings": ("embeddings.position_embeddings.weight", 0),
    "type_vocab_size": ("embeddings.token_type_embeddings.weight", 0),
}
_CLASSIFIERS = ("classifier.weight", "classifier.out_proj.weight")


def _is_size(value: object, most: float = math.inf, least: int = 1) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(value: object, least: float = -math.inf, below: float = math.inf) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return least <= value < below and math.isfinite(value)


def _is_probability(value: object) -> bool:
    return _is_number(value, 0, 1)


# name -> (what it must be, test), for values that a configuration may lack.
_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "hidden_dropout_prob": ("from 0 to below 1", _is_probability),
    "attention_probs_dropout_prob": ("from 0 to below 1", _is_probability),
    "classifier_dropout": ("from 0 to below 1", _is_probability),
    "initializer_range": ("a number, not negative", lambda value: _is_number(value, 0)),
    "pool_act": ("a text", lambda value: isinstance(value, str)),
    "pad_token_id": ("a token's id", lambda value: _is_size(value, least=0)),
    "task_type_vocab_size": ("a whole number above 0", _is_size),
    "task_id": ("a whole number", lambda value: _is_size(value, least=0)),
    "use_task_id": ("true or false", lambda value: isinstance(value, bool)),
    "fit_size": (f"a whole number from 1 to {_MOST_FIT}", lambda value: _is_size(value, _MOST_FIT)),
}


def check_labels(where: str, values: Mapping[str, object]) -> None:
    """UserError for an impossible number of labels. PaddleNLP makes a name for each as soon as it is told."""
    for part in config_parts(values):
        for name in _LABELS:
            value = part.get(name)
            if value is not None and not _is_size(value, MOST_LABELS):
                raise UserError(
                    f"{where}: its config.json cannot be used: {name} is {shown(value)},"
                    f" must be a whole number from 1 to {MOST_LABELS}"
                )


def config_parts(values: object) -> Iterator[Mapping[str, object]]:
    """The configuration, and what PaddleNLP up to 2.4 wrote into it as `init_args`."""
    if isinstance(values, dict):
        yield values
        inner = values.get("init_args")
        for part in inner if isinstance(inner, list) else ():
            yield from config_parts(part)


def check_config(where: str, config: Config, family: Family) -> None:
    """UserError that names every impossible value of PaddleNLP's configuration object."""
    sizes = {name: getattr(config, name, None) for name in (*_SIZES, *family.sizes)}
    if not family.token_types:
        del sizes["type_vocab_size"]
    problems = [
        f"{name} is {shown(value)}, must be a whole number above 0"
        for name, value in sizes.items()
        if not _is_size(value)
    ]
    if not problems and config.hidden_size % config.num_attention_heads:
        problems.append(f"{config.num_attention_heads} heads do not divide hidden_size {config.hidden_size}")
    if not problems:
        problems += [
            f"{name} is {getattr(config, name)}, must be hidden_size {config.hidden_size}: PaddleNLP has no projection"
            for name in family.equal_to_hidden
            if getattr(config, name) != config.hidden_size
        ]
    problems += [
        f"{name} is {shown(getattr(config, name))}: {why}"
        for name, why in family.refused.items()
        if getattr(config, name, None)
    ]
    problems += _activation_problems(config.hidden_act, family)
    position = getattr(config, "position_embedding_type", "absolute")
    if position != "absolute":
        problems.append(f"position_embedding_type {shown(position)} is not supported")
    epsilon = config.layer_norm_eps
    if not _is_number(epsilon, 0) or not 0 < epsilon <= _MOST_EPSILON:
        problems.append(f"layer_norm_eps is {shown(epsilon)}, must be above 0 and at most {_MOST_EPSILON}")
    for name, (allowed, test) in _RULES.items():
        value = getattr(config, name, None)
        if value is not None and not test(value):
            problems.append(f"{name} is {shown(value)}, must be {allowed}")
    if not problems:
        problems += _ids_out_of_range(config)
    if problems:
        raise UserError(f"{where}: its config.json cannot be used: {'; '.join(problems)}")


def check_model_type(where: str, values: Mapping[str, object], model_type: str) -> None:
    """UserError when the configuration is of another family."""
    found = values.get("model_type")
    if isinstance(found, str):
        found = ALIASES.get(found, found)
    if found is None or found == model_type:
        return
    cure = f"use `model_type` {found}" if found in MODEL_TYPES else f"supported are {', '.join(MODEL_TYPES)}"
    named = found if isinstance(found, str) and found.isprintable() else shown(found)
    raise UserError(f"{where}: is a {named[:80]} model, not {model_type}; {cure}")


def check_activation(where: str, name: object, family: Family) -> None:
    """UserError for an activation that Paddle does not have."""
    problems = _activation_problems(name, family)
    if problems:
        raise UserError(f"{where}: its config.json cannot be used: {problems[0]}")


def _activation_problems(name: object, family: Family) -> list[str]:
    allowed = ACTIVATIONS if family.activations is None else family.activations
    if name in allowed:
        return []
    if isinstance(name, str) and name in _NEAR:
        near, off = _NEAR[name]
        return [
            f"hidden_act {name} is not what Paddle's encoder can compute; write {near} there, which differs from it by"
            f" at most {off}, and finetune with that"
        ]
    if name in ACTIVATIONS:
        return [
            f"hidden_act {shown(name)} is none of {', '.join(allowed)}, which PaddleNLP's {family.model_type} knows"
        ]
    return [f"hidden_act {shown(name)} is no activation of Paddle; {', '.join(ACTIVATIONS)} are"]


def check_head(where: str, weights: Mapping[str, np.ndarray], num_labels: int) -> None:
    """UserError for a classifier that answers with another number of classes than the task has."""
    whole = [name for name in _CLASSIFIERS if name in weights and name.replace("weight", "bias") in weights]
    held = {weights[name].shape[-1] for name in whole if weights[name].ndim == 2}
    if held and held != {num_labels}:
        raise UserError(f"{where}: answers with {max(held)} numbers, the task needs {num_labels}; {OTHER_CLASSES}")


def no_pairs(where: str, task: Task) -> str:
    """What to say of a model with a single token type beside a task of pairs."""
    columns = " and ".join(task.text_columns) or "two texts"
    return (
        f"{where}: has one token type (type_vocab_size 1), so it cannot tell the two texts of {task.name} ({columns})"
        " apart; take a model with two token types, or put both texts into one column and name it with `text_columns`"
    )


def _ids_out_of_range(config: Config) -> list[str]:
    """Ids that the embeddings have no row for."""
    rows = {"pad_token_id": config.vocab_size}
    if getattr(config, "use_task_id", False):
        rows["task_id"] = config.task_type_vocab_size
    ids = {name: getattr(config, name, None) for name in rows}
    return [
        f"{name} is {value}, must be below {rows[name]}"
        for name, value in ids.items()
        if value is not None and value >= rows[name]
    ]


def check_sizes(
    where: str, config: Config, weights: Mapping[str, np.ndarray], prefix: str, sub_model: SubModelConfig | None = None
) -> None:
    """UserError when the configuration asks for more than the weights, under Paddle's names, are.

    prefix: the model type, which is what those names begin with.
    What it asks less is found when the names and shapes of the built model are compared.
    """
    sizes = dict(_IN_WEIGHTS)
    if not family_named(prefix).token_types:
        del sizes["type_vocab_size"]
    if sub_model is None:
        sizes["intermediate_size"] = ("encoder.layers.0.linear1.weight", 1)
    if hasattr(config, "embedding_size"):
        sizes["embedding_size"] = ("embeddings.word_embeddings.weight", 1)
    if getattr(config, "use_task_id", False):
        sizes["task_type_vocab_size"] = ("embeddings.task_type_embeddings.weight", 0)
    held = {name: _size(where, weights, f"{prefix}.{tensor}", axis) for name, (tensor, axis) in sizes.items()}
    layers = f"{prefix}.encoder.layers."
    held["num_hidden_layers"] = len({name[len(layers) :].split(".")[0] for name in weights if name.startswith(layers)})
    classifiers = [weights[name].shape[-1] for name in _CLASSIFIERS if name in weights and weights[name].ndim]
    if classifiers:
        held["num_labels"] = max(classifiers)
    if sub_model is not None:
        held["intermediate_size"] = _FFN_TO_HIDDEN * held["hidden_size"]
    problems = [
        f"{name} is {getattr(config, name)}, the weights have {size}"
        for name, size in held.items()
        if getattr(config, name) > size
    ]
    if sub_model is not None and not problems:
        problems = _sub_model_problems(where, config, weights, layers, sub_model)
    if problems:
        raise UserError(f"{where}: its weights are not those that its configuration describes: {'; '.join(problems)}")


def _sub_model_problems(
    where: str, config: Config, weights: Mapping[str, np.ndarray], layers: str, sub_model: SubModelConfig
) -> list[str]:
    head = config.hidden_size // config.num_attention_heads
    problems = []
    for place, (heads, ffn) in enumerate(zip(sub_model.heads, sub_model.ffn)):
        held = _size(where, weights, f"{layers}{place}.self_attn.q_proj.weight", 1) // head
        neurons = _size(where, weights, f"{layers}{place}.linear1.weight", 1)
        if heads > held or ffn > neurons:
            problems.append(
                f"layer {place} of the sub-model is {heads} heads and {ffn} neurons, the weights have {held}, {neurons}"
            )
    return problems[:3]


def _size(where: str, weights: Mapping[str, np.ndarray], name: str, axis: int) -> int:
    if name not in weights:
        raise UserError(
            f"{where}: its weights are not those of the model that its config.json describes: missing {name}"
        )
    if weights[name].ndim != 2:
        raise UserError(f"{where}: weights of the wrong shape: {name} is {list(weights[name].shape)}, not a matrix")
    return weights[name].shape[axis]
