"""The weights of a model as transformers reads them: Hugging Face's names, and zeros where a layer is smaller."""

from __future__ import annotations

import numpy as np
from paddle import nn

from ofa_bert.export.hugging_face.layout import Layout
from ofa_bert.models.directories import arrays_of
from ofa_bert.models.encoder import encoder_layers, family_of
from ofa_bert.models.parameter_names import to_hugging_face
from ofa_bert.numerics import Floats
from ofa_bert.tasks.heads import CONTEXTS, ONE_LABEL, OPTIONS

_TABLES = {
    "vocab_size": "word_embeddings",
    "max_position_embeddings": "position_embeddings",
    "type_vocab_size": "token_type_embeddings",
}
_HEADS_LAST = tuple(f"self_attn.{part}_proj.{leaf}" for part in "qkv" for leaf in ("weight", "bias"))


def weights_of(model: nn.Layer, layout: Layout) -> dict[str, Floats]:
    """Every array that transformers' class has, by its name there; float32."""
    family = family_of(model)
    arrays = {name: _widened(name, array, model, layout) for name, array in arrays_of(model).items()}
    if layout.head not in (ONE_LABEL, OPTIONS):  # transformers' models of tokens have no pooler
        arrays = {name: array for name, array in arrays.items() if ".pooler." not in name}
    row = family.shared_row(model.config)
    if row is not None:
        table, place = row
        name = f"{family.model_type}.embeddings.{table}.weight"
        arrays[name] = _first(arrays[name], place)
    found = to_hugging_face(arrays, family)
    if layout.head == CONTEXTS:
        found = {name.replace("classifier.", "qa_outputs."): array for name, array in found.items()}
    return found


def sizes_of(weights: dict[str, Floats]) -> dict[str, int]:
    """The sizes of the embeddings' tables."""
    rows = {name.split(".")[-2]: len(array) for name, array in weights.items() if ".embeddings." in name}
    return {size: rows[table] for size, table in _TABLES.items() if table in rows}


def _widened(name: str, array: Floats, model: nn.Layer, layout: Layout) -> Floats:
    """The array with zeros behind it, as wide as all layers are in the file."""
    start = f"{model.base_model_prefix}.encoder.layers."
    if not name.startswith(start):
        return array
    index, inner = name[len(start) :].split(".", 1)
    attention = encoder_layers(model)[int(index)].self_attn
    heads = attention.num_heads if layout.left_out else layout.most_heads
    width = heads * attention.head_dim
    if inner in _HEADS_LAST:
        return _filled(array, -1, width)
    if inner == "self_attn.out_proj.weight":
        return _filled(array, 0, width)
    if inner in ("linear1.weight", "linear1.bias"):
        return _filled(array, -1, layout.ffn)
    return _filled(array, 0, layout.ffn) if inner == "linear2.weight" else array


def _filled(array: Floats, axis: int, size: int) -> Floats:
    room = [(0, 0)] * array.ndim
    room[axis] = (0, size - array.shape[axis])
    return np.pad(array, room)


def _first(table: Floats, row: int) -> Floats:
    """The table with that row at the first place, the first one at that row's."""
    order = np.arange(len(table))
    order[[0, row]] = row, 0
    return np.ascontiguousarray(table[order])
