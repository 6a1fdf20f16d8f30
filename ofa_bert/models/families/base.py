"""What a family of encoders is, as values: whatever depends on the family reads them. Imports no Paddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ofa_bert.models.families.paddlenlp import PaddleConfig
from ofa_bert.tasks.heads import CONTEXTS, ONE_LABEL, OPTIONS, TAGS

Config = PaddleConfig
T = TypeVar("T")


@dataclass(frozen=True)
class ClassifierHead:
    """From the first token's state to the logits: a dense layer, activations, dropout, a linear layer.

    The layers are paths of modules in PaddleNLP's classification model, the activations functions of
    paddle.nn.functional. `dropout_first`: the same dropout stands before the dense layer too. Without a dense layer,
    it reads the states of all tokens, by dropout and a linear layer alone.
    """

    dense: str | None
    activations: tuple[str, ...]
    output: str
    dropout: str | None
    dropout_first: bool = False

    @property
    def per_token(self) -> bool:
        return self.dense is None


@dataclass(frozen=True)
class Transformers:
    """A family as Hugging Face's transformers has it.

    prefix: what the names of its classes begin with. heads: what they end with, after "For", of those whose classifier
    has the layers that ours has. refusal: why a model of this configuration, with such a head, is none that
    transformers could compute; None where it is one. more_config: what config.json says beyond every family's.
    until: the last major version of transformers that has the family; None where the newest has it. tokenizer: the
    class that cuts its texts where a tokenizer.json cannot say how.
    """

    prefix: str
    heads: tuple[str, ...] = (ONE_LABEL, TAGS, CONTEXTS, OPTIONS)
    refusal: Callable[[Config, str], str | None] = lambda config, head: None
    more_config: Callable[[Config], Mapping[str, object]] = lambda config: {}
    until: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Family:
    """One family whose encoder is a paddle.nn.TransformerEncoder.

    model_type: as config.json has it; also the name of the encoder inside PaddleNLP's models.
    classifier, tokenizer: PaddleNLP's classes. masked_lm and token_classifier, which answers for every token: None in
    a family of which PaddleNLP has none.
    head: the classifier's head, of a configuration.
    tokenizer_in: PaddleNLP's tokenizer for the files of a directory, where a family has several.
    more_shape: fields of ModelShape beyond those of every family, of a configuration.
    """

    model_type: str
    classifier: str
    tokenizer: str
    head: Callable[[Config], ClassifierHead]
    masked_lm: str | None = None
    token_classifier: str | None = None
    token_pooler: bool = False  # whether that has a pooler, which its answers do not come from
    tokenizer_in: Callable[[Path], str] | None = None
    more_shape: Callable[[Config], Mapping[str, int]] = lambda config: {}

    # How ids become the states that enter the first layer.
    # Whether tokens have types. Where they have none, models are called and exported with both inputs all the same.
    token_types: bool = True
    # PaddleNLP's forward masks another token than padding unless it is told what to mask.
    told_what_to_mask: bool = False
    # PaddleNLP's layers have four times the hidden size of FFN neurons, whatever intermediate_size says.
    ffn_from_config: bool = False
    # The linear layer behind the embeddings' LayerNorm, in the encoder; models without it take no projection.
    projection: str | None = None
    # Positions count from after the padding token's id, and padding stays there.
    positions_after_padding: bool = False
    # The position of the first token, whatever is padding.
    first_position: int = 0
    # (table, row): every token adds the same row of a table among the embeddings; None when it does not.
    shared_row: Callable[[Config], tuple[str, int] | None] = lambda config: None

    # Further values of config.json's model_type that are of this family.
    aliases: tuple[str, ...] = ()
    # What config.json must say beyond the sizes of every family, each a number of at least 1.
    sizes: tuple[str, ...] = ()
    # The values of hidden_act that PaddleNLP's classes know; None: every function of paddle.nn.functional.
    activations: tuple[str, ...] | None = None
    # Sizes that must be the hidden size.
    equal_to_hidden: tuple[str, ...] = ()
    # Values that must not stand in config.json, and why.
    refused: Mapping[str, str] = field(default_factory=dict)
    # The epsilon of PaddleNLP's LayerNorms where its configurations say none.
    layer_norm_eps: float | None = None
    # Hugging Face's name of a value -> PaddleNLP's.
    config_names: Mapping[str, str] = field(default_factory=dict)
    # The activation in the head of Hugging Face's classifier where PaddleNLP's follows hidden_act.
    hugging_face_activation: str | None = None

    # Names of parameters, without the encoder's prefix.
    # A list of modules in the encoder, one for each hidden state: a sub-model keeps those of its layers.
    per_hidden_state: str | None = None
    # Beginnings of names that no classifier's forward reads: Hugging Face's are left out, missing ones stay random.
    unread: tuple[str, ...] = ()
    # Beginnings of names of pre-training heads beyond those of every family: left out.
    other_heads: tuple[str, ...] = ()
    # Hugging Face module -> PaddleNLP module, outside of the layers and beyond those of every family.
    modules: Mapping[str, str] = field(default_factory=dict)
    # Where the layers stand in Hugging Face's encoder; module -> module inside of one, beyond those of every family.
    layers: str = "encoder.layer"
    # What stands in Hugging Face's names alone, where the layers stand in the same place in both.
    in_theirs: str | None = None
    layer_modules: Mapping[str, str] = field(default_factory=dict)
    # Beginnings of names beside "classifier." that stand outside of the encoder: the other parts of the head.
    outside: tuple[str, ...] = ()
    # Module of a masked-LM's head in a checkpoint -> ours, "transform" or "layer_norm"; and names of its bias.
    masked_lm_modules: Mapping[str, str] = field(default_factory=dict)
    masked_lm_biases: tuple[str, ...] = ()
    # The models of joint pre-training in one checkpoint: the one that a classifier starts from, the masked LM.
    classifier_part: str | None = None
    masked_lm_part: str | None = None

    # None: transformers has no such model.
    transformers: Transformers | None = None
    # Whether bench/peers.py builds the peers of a benchmark in this family's shape.
    has_peers: bool = False

    def renamed(self, config: Mapping[str, T]) -> dict[str, T]:
        """A config.json under PaddleNLP's names. A name that stands there already keeps its value."""
        names = {theirs: ours for theirs, ours in self.config_names.items() if ours not in config}
        return {names.get(name, name): value for name, value in config.items()}

    def positions_for_tokens(self, positions: int, pad_token_id: int) -> int:
        """How many of a table's positions tokens can have."""
        return positions - (pad_token_id + 1 if self.positions_after_padding else self.first_position)

    def sizes_of(self, hidden: int) -> dict[str, int]:
        """What else a configuration of that hidden size must say."""
        return dict.fromkeys(self.equal_to_hidden, hidden)


# Of every family's token_classifier.
OF_TOKENS = ClassifierHead(None, (), "classifier", "dropout")


def pooled(encoder: str, activations: tuple[str, ...] = ("tanh",), dropout: str | None = "dropout") -> ClassifierHead:
    """BERT's: the encoder of that name has the pooler, the classifier is one layer."""
    return ClassifierHead(f"{encoder}.pooler.dense", activations, "classifier", dropout)


def two_layers(activation: str) -> ClassifierHead:
    """A classifier of two layers that reads the first token itself; the encoder has no pooler."""
    return ClassifierHead("classifier.dense", (activation,), "classifier.out_proj", "classifier.dropout", True)


# Of a classifier with two layers.
TWO_LAYERS = {"classifier.dense": "classifier.dense", "classifier.out_proj": "classifier.out_proj"}
