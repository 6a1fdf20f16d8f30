"""A small classifier as ONNX, written without the package onnx: a machine that only runs bundles need not have it.

ONNX files are protocol buffers: fields that begin with their number and kind. Numbers of fields: onnx.proto, version 7.
logits [B, C] = mean over tokens of relu(words[input_ids] + types[token_type_ids]) times `head`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.numerics import Array, Ints

_VOCABULARY, _HIDDEN, _CLASSES = 50, 32, 3
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_INTS = 7  # AttributeProto.AttributeType
_IR, _OPSET = 8, 17


def _tables() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = {"words": (_VOCABULARY, _HIDDEN), "types": (2, _HIDDEN), "head": (_HIDDEN, _CLASSES)}
    return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def batch(rows: int, tokens: int) -> tuple[Ints, Ints]:
    """Random input_ids and token_type_ids, int64 [B, T]."""
    rng = np.random.default_rng(rows)
    return rng.integers(0, _VOCABULARY, (rows, tokens)), rng.integers(0, 2, (rows, tokens))


def logits(input_ids: Ints, token_type_ids: Ints) -> Array:
    """What the graph answers [B, C], by NumPy."""
    tables = _tables()
    states = np.maximum(tables["words"][input_ids] + tables["types"][token_type_ids], 0)  # [B, T, H]
    return np.asarray((states @ tables["head"]).mean(1))


def onnx() -> bytes:
    """The file's content."""
    nodes = [
        _node("Gather", ["words", INPUTS[0]], "a"),
        _node("Gather", ["types", INPUTS[1]], "b"),
        _node("Add", ["a", "b"], "c"),
        _node("Relu", ["c"], "d"),
        _node("MatMul", ["d", "head"], "e"),
        _node("ReduceMean", ["e"], OUTPUT, _ints("axes", [1]) + _int("keepdims", 0)),
    ]
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"small")
    graph += b"".join(_bytes(5, _tensor(name, table)) for name, table in _tables().items())
    graph += b"".join(_bytes(11, _value(name, _INT64, ["B", "T"])) for name in INPUTS)
    graph += _bytes(12, _value(OUTPUT, _FLOAT, ["B", _CLASSES]))
    return _number(1, _IR) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, _OPSET))


def _node(operator: str, inputs: Sequence[str], output: str, attributes: bytes = b"") -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    return names + _bytes(2, output.encode()) + _bytes(4, operator.encode()) + attributes


def _ints(name: str, values: Sequence[int]) -> bytes:
    held = b"".join(_number(8, value) for value in values)
    return _bytes(5, _bytes(1, name.encode()) + held + _number(20, _INTS))


def _int(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name.encode()) + _number(3, value) + _number(20, 2))


def _tensor(name: str, table: Array) -> bytes:
    sizes = b"".join(_number(1, size) for size in table.shape)
    return sizes + _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, table.astype("<f4").tobytes())


def _value(name: str, kind: int, sizes: Sequence[int | str]) -> bytes:
    """A named input or output; a size that is a word is free."""
    dims = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size.encode())) for size in sizes
    )
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the eighth says that more follow."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found) + bytes([value])
