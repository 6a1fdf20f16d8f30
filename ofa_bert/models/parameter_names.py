"""Parameter names: from Hugging Face's layout to PaddleNLP's, and from bare encoders to classifiers.

PaddleNLP has such tables for BERT and RoBERTa only, and writes the converted file beside the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

_PREFIXES = ("bert.", "ernie.", "roberta.", "tinybert.")
# Heads of pre-training and other tasks, and buffers that older PyTorch stored: a classifier needs none.
_LEFT_OUT = ("cls.", "lm_head.", "qa_outputs.", "embeddings.position_ids", "embeddings.token_type_ids")
_PROJECTIONS = "fit_dense"  # TinyBERT's, to its teacher's width: no part of a classifier's forward
_CLASSIFIER = "classifier."

# Hugging Face module -> Paddle module, inside a layer and outside of the layers.
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
    "embeddings.task_type_embeddings": "embeddings.task_type_embeddings",
    "embeddings.LayerNorm": "embeddings.layer_norm",
    "pooler.dense": "pooler.dense",
    "classifier": "classifier",
    "classifier.dense": "classifier.dense",
    "classifier.out_proj": "classifier.out_proj",
}
# The first checkpoints of BERT call the parameters of a LayerNorm as TensorFlow does.
_LEAVES = {"gamma": "weight", "beta": "bias"}


def is_hugging_face(names: Iterable[str]) -> bool:
    return any("encoder.layer." in name for name in names)


def to_paddle(weights: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Weights in either layout under the names of a PaddleNLP classifier whose encoder is called `prefix`.

    Hugging Face's Linear weights [out, in] are transposed to Paddle's [in, out]. Names that no rule knows
    stay as they are, so that the comparison with the model shows them.
    """
    convert = is_hugging_face(weights)
    converted = {}
    for name, array in weights.items():
        bare = _without_prefix(name)
        if bare.startswith(_LEFT_OUT) or (convert and bare.startswith(_PROJECTIONS)):
            continue
        if convert:
            bare, transpose = _paddle_name(bare)
            array = np.ascontiguousarray(array.T) if transpose else array
        converted[bare if bare.startswith(_CLASSIFIER) else f"{prefix}.{bare}"] = array
    return converted


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _paddle_name(name: str) -> tuple[str, bool]:
    """Paddle's name for a Hugging Face name without prefix, and whether the array is a Linear weight."""
    module, _, leaf = name.rpartition(".")
    leaf = _LEAVES.get(leaf, leaf)
    parts = module.split(".", 3)  # encoder, layer, 7, attention.self.query
    if parts[:2] == ["encoder", "layer"] and len(parts) == 4 and parts[3] in _LAYER_MODULES:
        inner = _LAYER_MODULES[parts[3]]
        return f"encoder.layers.{parts[2]}.{inner}.{leaf}", leaf == "weight" and "norm" not in inner
    if module in _OTHER_MODULES:
        return f"{_OTHER_MODULES[module]}.{leaf}", leaf == "weight" and not module.startswith("embeddings.")
    return name, False
