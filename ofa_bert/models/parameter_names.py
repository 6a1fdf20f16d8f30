"""Parameter names: from Hugging Face's layout to PaddleNLP's and back, and from bare encoders to classifiers.

PaddleNLP has such tables for BERT and RoBERTa only, and writes the converted file beside the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ofa_bert.models.families.base import Family
from ofa_bert.models.families.registry import FAMILIES

# Of all families, because many a checkpoint was published under another one's names.
_PREFIXES = tuple(f"{family.model_type}." for family in FAMILIES.values())
_UNREAD = tuple(name for family in FAMILIES.values() for name in family.unread)
# Heads of pre-training and other tasks, and buffers that older PyTorch stored: a classifier needs none.
_ANSWERS = "qa_outputs"  # Hugging Face's head of answers in contexts, in every family
_LEFT_OUT = (
    *("cls.", "lm_head.", f"{_ANSWERS}.", "embeddings.position_ids", "embeddings.token_type_ids"),
    *(name for family in FAMILIES.values() for name in family.other_heads),
)
_CLASSIFIER = "classifier."
_IN_THEIRS = tuple({family.in_theirs or f"{family.layers}." for family in FAMILIES.values()})

# Hugging Face module -> Paddle module, inside a layer and outside of the layers; a family may have more of those.
_LAYER_MODULES = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
_OTHER_MODULES = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings.LayerNorm": "embeddings.layer_norm",
    "pooler.dense": "pooler.dense",
    "classifier": "classifier",
}
# The first checkpoints of BERT call the parameters of a LayerNorm as TensorFlow does.
_LEAVES = {"gamma": "weight", "beta": "bias"}


def is_hugging_face(names: Iterable[str]) -> bool:
    return any(theirs in name for name in names for theirs in _IN_THEIRS)


def part_of(weights: Mapping[str, np.ndarray], part: str | None) -> Mapping[str, np.ndarray]:
    """Of several models in one checkpoint the one whose names begin with `part`; any other checkpoint as it is."""
    if not part or not any(name.startswith(part) for name in weights):
        return weights
    return {name[len(part) :]: array for name, array in weights.items() if name.startswith(part)}


def to_paddle(weights: Mapping[str, np.ndarray], family: Family, answers: bool = False) -> dict[str, np.ndarray]:
    """Weights in either layout under the names of PaddleNLP's classifier of that family.

    answers: a head that finds answers in contexts is the classifier; else it is left out.

    Hugging Face's Linear weights [out, in] are transposed to Paddle's [in, out]. Names that no rule knows
    stay as they are, so that the comparison with the model shows them.
    """
    convert = is_hugging_face(weights)
    converted = {}
    for name, array in weights.items():
        bare = _without_prefix(name)
        wanted = answers and bare.startswith(f"{_ANSWERS}.")
        if not wanted and (bare.startswith(_LEFT_OUT) or (convert and bare.startswith(_UNREAD))):
            continue
        if convert:
            bare, transpose = _paddle_name(bare, family)
            array = np.ascontiguousarray(array.T) if transpose else array
        converted[bare if bare.startswith((_CLASSIFIER, *family.outside)) else f"{family.model_type}.{bare}"] = array
    return converted


def to_hugging_face(weights: Mapping[str, np.ndarray], family: Family) -> dict[str, np.ndarray]:
    """Weights of PaddleNLP's classifier of that family under Hugging Face's names: the way back from `to_paddle`."""
    inside = {ours: theirs for theirs, ours in {**_LAYER_MODULES, **family.layer_modules}.items()}
    modules = {ours: theirs for theirs, ours in {**_OTHER_MODULES, **family.modules}.items()}
    converted = {}
    for name, array in weights.items():
        module, _, leaf = _without_prefix(name).rpartition(".")
        parts = module.split(".", 3)  # encoder, layers, 7, self_attn.q_proj
        if parts[:2] == ["encoder", "layers"]:
            theirs = f"{family.layers}.{parts[2]}.{inside[parts[3]]}"
        else:
            theirs = modules[module]
        linear = leaf == "weight" and array.ndim == 2 and not theirs.startswith("embeddings.")
        outside = f"{theirs}.".startswith((_CLASSIFIER, *family.outside))
        prefix = "" if outside else f"{family.model_type}."
        converted[f"{prefix}{theirs}.{leaf}"] = np.ascontiguousarray(array.T) if linear else array
    return converted


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _paddle_name(name: str, family: Family) -> tuple[str, bool]:
    """Paddle's name for a Hugging Face name without prefix, and whether the array is a Linear weight."""
    module, _, leaf = name.rpartition(".")
    leaf = _LEAVES.get(leaf, leaf)
    modules = {**_OTHER_MODULES, **family.modules, _ANSWERS: "classifier"}
    inside = {**_LAYER_MODULES, **family.layer_modules}
    if module.startswith(f"{family.layers}."):
        number, _, within = module[len(family.layers) + 1 :].partition(".")  # 7, attention.self.query
        if within in inside:
            return f"encoder.layers.{number}.{inside[within]}.{leaf}", leaf == "weight" and "norm" not in inside[within]
    if module in modules:
        return f"{modules[module]}.{leaf}", leaf == "weight" and not module.startswith("embeddings.")
    return name, False
