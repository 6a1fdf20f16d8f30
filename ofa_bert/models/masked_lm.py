"""A masked-LM of any supported family: the stock encoder, and a head whose output matrix is the word embeddings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights
from ofa_bert.models.config_checks import check_sizes
from ofa_bert.models.encoder import attention_mask, backbone, embed, encoder_layers
from ofa_bert.models.families.base import Config, Family
from ofa_bert.models.families.registry import FAMILIES, family_named, model_class
from ofa_bert.models.parameter_names import is_hugging_face, part_of, to_paddle
from ofa_bert.models.pretrained import Source, build_config, load_tokenizer, locate, put_weights, set_epsilon
from ofa_bert.submodels.shape import Shape
from ofa_bert.submodels.values import even_layers

# A module of the head in a checkpoint -> ours; a family may have more. Dense matrices of Hugging Face are transposed.
_HEAD = {
    "cls.predictions.transform.dense": "transform",
    "cls.predictions.transform": "transform",
    "cls.predictions.transform.LayerNorm": "layer_norm",
    "cls.predictions.layer_norm": "layer_norm",
    "lm_head.dense": "transform",
    "lm_head.layer_norm": "layer_norm",
}
_BIASES = ("cls.predictions.decoder_bias", "cls.predictions.bias", "lm_head.bias")
_LEAVES = {"gamma": "weight", "beta": "bias"}


class Head(nn.Layer):
    """Dense, GELU, LayerNorm, and the product with the word embeddings: PaddleNLP's names and layout for BERT."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(config.hidden_size, width)
        self.layer_norm = nn.LayerNorm(width)
        self.decoder_bias = self.create_parameter([config.vocab_size], is_bias=True)

    def forward(self, hidden: paddle.Tensor, embeddings: paddle.Tensor) -> paddle.Tensor:
        """Logits [M, V] of hidden states [M, H]; `embeddings` [V, E] are the encoder's, E is `width`."""
        x = self.layer_norm(F.gelu(self.transform(hidden)))  # [M, E]
        return paddle.matmul(x, embeddings, transpose_y=True) + self.decoder_bias  # [M, V]


class MaskedLM(nn.Layer):
    """Built by `build`. `config` and `base_model_prefix` are those of the family, so our checkpoints can write it."""

    def __init__(self, model_type: str, config: Config) -> None:
        super().__init__()
        classifier = model_class(model_type)(config)
        self.base_model_prefix = classifier.base_model_prefix
        self.config = config
        setattr(self, self.base_model_prefix, backbone(classifier))
        self.cls = nn.Layer()
        self.cls.predictions = Head(config, backbone(classifier).embeddings.word_embeddings.weight.shape[1])
        set_epsilon(self)

    def forward(self, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor, places: paddle.Tensor) -> paddle.Tensor:
        """Logits [M, V] at `places`, int64 [M], which count the tokens of the batch [B, T] row by row."""
        mask = attention_mask(self, input_ids)
        hidden = backbone(self).encoder(embed(self, input_ids, token_type_ids), mask)  # [B, T, H]
        picked = paddle.gather(hidden.reshape([-1, hidden.shape[-1]]), places)  # [M, H]
        return self.cls.predictions(picked, backbone(self).embeddings.word_embeddings.weight)


def build(model_type: str, config: Config) -> MaskedLM:
    """A model with fresh weights; its class has PaddleNLP's name, which save_model writes into config.json."""
    return type(_class_name(model_type), (MaskedLM,), {})(model_type, config)


def _class_name(model_type: str) -> str:
    name = family_named(model_type).masked_lm
    if name is None:
        able = ", ".join(each.model_type for each in FAMILIES.values() if each.masked_lm)
        raise UserError(
            f"`model_type` {model_type}: PaddleNLP has no masked LM of this family, so it cannot be pre-trained; take"
            f" one of {able}"
        )
    return name


class Loaded(NamedTuple):
    model: MaskedLM
    tokenizer: Cutter
    has_head: bool  # False: the source is an encoder only, and the head has fresh weights


def load(name_or_path: str, model_type: str) -> Loaded:
    """A masked-LM in PaddleNLP's or Hugging Face's layout, or an encoder of any kind with a fresh head."""
    source = locate(name_or_path, model_type)
    model_type = source.model_type
    _class_name(model_type)
    if source.record.is_sub_model:
        raise UserError(f"{name_or_path}: is an exported sub-model; pre-training knows only equal layers")
    config = build_config(source, model_type, 2, {})
    family = family_named(model_type)
    weights = part_of(read_weights(source.weights), family.masked_lm_part)
    encoder = to_paddle(weights, family)
    check_sizes(source.where, config, encoder, family.model_type)
    model = build(model_type, config)
    head = _head_weights(source, weights, family)
    encoder = {name: array for name, array in encoder.items() if name in model.state_dict()}
    not_needed = ("cls.", *(f"{family.model_type}.{name}" for name in ("pooler.", *family.unread)))
    missing = [name for name in model.state_dict() if name not in encoder and not name.startswith(not_needed)]
    if missing:
        raise UserError(f"{source.where}: its weights lack {missing[0]}; they are not those of its config.json")
    put_weights(model, {**encoder, **head})
    return Loaded(model, load_tokenizer(source, model_type, config.vocab_size), bool(head))


def _head_weights(source: Source, weights: Mapping[str, np.ndarray], family: Family) -> dict[str, np.ndarray]:
    """The head's tensors under our names; {} when the source has no head."""
    modules, biases = {**_HEAD, **family.masked_lm_modules}, (*_BIASES, *family.masked_lm_biases)
    convert, found = is_hugging_face(weights), {}
    for name, array in weights.items():
        module, _, leaf = name.rpartition(".")
        leaf = _LEAVES.get(leaf, leaf)
        if name in biases:
            found["decoder_bias"] = array
        elif module in modules:
            transposed = convert and modules[module] == "transform" and leaf == "weight"
            found[f"{modules[module]}.{leaf}"] = array.T if transposed else array
    wanted = {"transform.weight", "transform.bias", "layer_norm.weight", "layer_norm.bias", "decoder_bias"}
    if found and set(found) != wanted:
        raise UserError(f"{source.where}: its masked-LM head lacks {', '.join(sorted(wanted - set(found)))}")
    return {f"cls.predictions.{name}": array for name, array in found.items()}


def student_of(teacher: MaskedLM, model_type: str, shape: Shape) -> MaskedLM:
    """A model of that shape with fresh weights, otherwise configured as the teacher."""
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers, config.num_attention_heads = shape.depth, shape.heads
    config.hidden_size, config.intermediate_size = shape.hidden, shape.ffn
    return build(model_type, config)


def copy_leading(student: MaskedLM, teacher: MaskedLM) -> None:
    """Start the student from evenly spaced layers of the teacher, and from the leading slice of every tensor there.

    Means something when hidden and head size are the teacher's. A supernet's heads are sorted by importance.
    """
    if len(encoder_layers(student)) > len(encoder_layers(teacher)):
        raise UserError(
            f"`initialise` teacher: the shape has {len(encoder_layers(student))} layers, the teacher only"
            f" {len(encoder_layers(teacher))}; start from random weights"
        )
    layers = even_layers(len(encoder_layers(teacher)), len(encoder_layers(student)) / len(encoder_layers(teacher)))
    source = teacher.state_dict()
    prefix = f"{student.base_model_prefix}.encoder.layers."
    for name, parameter in student.state_dict().items():
        theirs = name
        if name.startswith(prefix):
            index, rest = name[len(prefix) :].split(".", 1)
            theirs = f"{prefix}{layers[int(index)]}.{rest}"
        if theirs not in source:
            continue
        array = source[theirs].numpy()
        if any(own > other for own, other in zip(parameter.shape, array.shape)):
            raise UserError(
                f"`initialise` teacher: {name} is {parameter.shape}, the teacher's only {list(array.shape)};"
                " the shape must not exceed the teacher's, or start from random weights"
            )
        parameter.set_value(array[tuple(slice(0, size) for size in parameter.shape)].copy())
