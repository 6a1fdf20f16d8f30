"""What a model is in Hugging Face's transformers: its class, its configuration, and how fewer heads are written."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.models.encoder import encoder_layers, family_of
from ofa_bert.models.families.base import Config, Transformers
from ofa_bert.tasks.heads import CONTEXTS, OPTIONS
from ofa_bert.tasks.task import Task

logger = logging.getLogger(__name__)

LEAVES_OUT = "4"  # the last major version of transformers that makes models with fewer heads
_OF_TRAINING = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
# Of Paddle's activations those that transformers has under the same name.
_ACTIVATIONS = ("gelu", "relu", "relu6", "tanh", "sigmoid", "silu", "swish", "mish", "leaky_relu")


@dataclass(frozen=True)
class Layout:
    """How a model is written.

    head: the class's name after "For". heads: how many each layer has, of `most_heads` that its hidden size is divided
    into; left_out: whether those that it lacks are left out of the file, or stand there as zeros. ffn: neurons of
    every layer, those that it lacks are zeros.
    """

    names: Transformers
    head: str
    problem_type: str | None
    heads: tuple[int, ...]
    most_heads: int
    left_out: bool
    ffn: int

    @property
    def architecture(self) -> str:
        return f"{self.names.prefix}For{self.head}"

    @property
    def pruned(self) -> dict[str, list[int]]:
        """transformers' `pruned_heads`: layer -> the heads that it lacks."""
        if not self.left_out:
            return {}
        return {
            str(layer): list(range(count, self.most_heads))
            for layer, count in enumerate(self.heads)
            if count < self.most_heads
        }


def installed() -> str:
    """The major version of transformers that is installed; the newest that is known where none is."""
    try:
        return importlib.metadata.version("transformers").partition(".")[0]
    except importlib.metadata.PackageNotFoundError:
        return "5"


def layout_of(model: nn.Layer, task: Task, version: str | None) -> Layout:
    """version: the major version of transformers that is to read it; None: the installed one.

    UserError for a model that transformers cannot compute. What is written as zeros is said in one line.
    """
    family, config = family_of(model), model.config
    head, problem_type = task.kind.head, task.kind.problem_type
    names = family.transformers
    if names is None:
        raise _refused(f"transformers has no {family.model_type}")
    if head not in names.heads:
        raise _refused(f"transformers' {names.prefix}For{head} has another classifier than PaddleNLP's model")
    if config.hidden_act not in _ACTIVATIONS:
        raise _refused(f"hidden_act {config.hidden_act}; transformers has {', '.join(_ACTIVATIONS)}")
    last, wanted = names.until, version or installed()
    if last is not None and wanted != last:
        raise _refused(f"transformers {wanted} has no {family.model_type}, {last} is the last that has; write for it")
    reason = names.refusal(config, head)
    if reason is not None:
        raise _refused(reason)
    layers = encoder_layers(model)
    heads = tuple(layer.self_attn.num_heads for layer in layers)
    neurons = [layer.linear1.weight.shape[1] for layer in layers]
    found = Layout(
        names=names,
        head=head,
        problem_type=problem_type,
        heads=heads,
        most_heads=config.hidden_size // layers[0].self_attn.head_dim,
        left_out=(version or installed()) == LEAVES_OUT,
        ffn=max(neurons),
    )
    _say_zeros(found, neurons)
    return found


def _say_zeros(layout: Layout, neurons: list[int]) -> None:
    if not layout.left_out and min(layout.heads) < layout.most_heads:
        logger.warning(
            "transformers 5 has nothing for fewer heads: those left out (%s of %d are kept) are written as zeros; the"
            " answers are the same, the attention is no faster. `transformers` 4 leaves them out",
            _range(layout.heads),
            layout.most_heads,
        )
    if min(neurons) < layout.ffn:
        logger.warning(
            "transformers has one FFN size for all layers: %s neurons are filled up with zeros to %d",
            _range(neurons),
            layout.ffn,
        )


def _range(numbers: tuple[int, ...] | list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def config_of(model: nn.Layer, task: Task, layout: Layout, sizes: Mapping[str, int]) -> dict[str, object]:
    """The content of config.json. sizes: of the embeddings' tables, as the weights have them."""
    config: Config = model.config
    labels = task.labels if len(task.labels) == task.num_labels else [f"LABEL_{i}" for i in range(task.num_labels)]
    named = {} if layout.head in (CONTEXTS, OPTIONS) else {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }  # fmt: skip
    found = {
        "architectures": [layout.architecture],
        "model_type": family_of(model).model_type,
        **named,
        **({} if layout.problem_type is None else {"problem_type": layout.problem_type}),
        "hidden_size": config.hidden_size,
        "num_hidden_layers": len(layout.heads),
        "num_attention_heads": layout.most_heads,
        **({"pruned_heads": layout.pruned} if layout.pruned else {}),
        "intermediate_size": layout.ffn,
        "hidden_act": config.hidden_act,
        "layer_norm_eps": float(config.layer_norm_eps),
        "pad_token_id": config.pad_token_id,
        **{name: getattr(config, name) for name in _OF_TRAINING},
        **sizes,
        **layout.names.more_config(config),
    }
    theirs = {ours: name for name, ours in family_of(model).config_names.items()}
    return {theirs.get(name, name): value for name, value in found.items()}


def _refused(reason: str) -> UserError:
    return UserError(f"`hugging_face`: {reason}; leave it out")
