"""The ONNX graphs of a model with exits, by onnx_write's methods: layers between exits, and a head for each exit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.exits import CERTAINTY, HIDDEN
from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.exits.layout import HEAD_PARTS, HEAD_WIDTH
from ofa_bert.export.onnx.form import Form
from ofa_bert.export.onnx.graph import Graph, Place
from ofa_bert.export.onnx.writer import OPSET, Writer, save
from ofa_bert.models.encoder import backbone, encoder_layers
from ofa_bert.models.exits.heads import Exits, Ramp
from ofa_bert.numerics import MASKED

IDS: Place = (np.int64, ["batch", "sequence"])


def write_segment(model: nn.Layer, form: Form, begin: int, end: int, target: Path) -> None:
    """Layers `begin` to `end - 1`: of token ids when they are the first, else of hidden states [B, T, H] and ids.

    Behind the last layer there is only the model's own classifier, so that one gives the first token alone, [B, 1, H].
    """
    graph = _graph(model, None, form)
    writer, states = Writer(model, form, graph), (graph.dtype, ["batch", "sequence", model.config.hidden_size])
    # Scales and half precision's exceptions go by the name that the tensor has in the whole model's graph.
    x = graph.node("Identity", HIDDEN, out=f"layer{begin}.states") if begin else None
    x = writer.encoder(begin, end, x)
    to_the_end = end == len(encoder_layers(model))
    if to_the_end:
        graph.node("Unsqueeze", x, graph.integers([1]))
    given = f"{HIDDEN}.next"
    graph.rename(graph.last, given)
    inputs = dict.fromkeys(INPUTS, IDS) if begin == 0 else {HIDDEN: states, INPUTS[0]: IDS}
    left = (graph.dtype, ["batch", 1, model.config.hidden_size]) if to_the_end else states
    save(graph.model(inputs, {given: left}, OPSET), target, form)


def write_head(model: nn.Layer, exits: Exits, form: Form, depth: int, target: Path) -> None:
    """The exit after `depth` layers: logits and certainty, or the model's own classifier at the end."""
    graph = _graph(model, exits, form)
    config = model.config
    outputs: dict[str, Place] = {OUTPUT: (np.float32, ["batch", config.num_labels])}
    inputs: dict[str, Place] = {HIDDEN: (graph.dtype, ["batch", "sequence", config.hidden_size])}
    first = graph.node("Gather", HIDDEN, graph.integers(0), axis=1)  # [B, H]
    if depth == len(encoder_layers(model)):
        Writer(model, form, graph).head(first)
        graph.rename(graph.last, OUTPUT)
    else:
        head, name = exits.heads[str(depth - 1)], f"{_PREFIX}heads.{depth - 1}."
        if isinstance(head, Ramp):
            logits = _ramp(graph, name, head, first)
        else:
            inputs[INPUTS[0]] = IDS
            logits = _attention(graph, name, backbone(model).pad_token_id)
        graph.node("Cast", logits, to=graph.type_of(np.float32), out=OUTPUT)
        certain = graph.node("Sigmoid", _gemm(graph, first, f"{_PREFIX}certain.{depth - 1}"))  # [B, 1]
        certain = graph.node("Cast", certain, to=graph.type_of(np.float32))
        graph.node("Squeeze", certain, graph.integers([1]), out=CERTAINTY)
        outputs[CERTAINTY] = (np.float32, ["batch"])
    save(graph.model(inputs, outputs, OPSET), target, form)


def write_moves(model: nn.Layer, form: Form, select: Path, join: Path) -> None:
    """Rows of hidden states [B, T, H]; and two of them one after the other, the shorter one's end filled with zeros."""
    hidden = model.config.hidden_size
    graph = Graph(np.float16 if form.half else np.float32, {})
    given = (graph.dtype, ["batch", "sequence", hidden])
    graph.node("Gather", HIDDEN, "rows", axis=0, out=f"{HIDDEN}.next")
    rows = (np.int64, ["rows"])
    selected = (graph.dtype, ["rows", "sequence", hidden])
    save(graph.model({HIDDEN: given, "rows": rows}, {f"{HIDDEN}.next": selected}, OPSET), select, form)

    graph = Graph(graph.dtype, {})
    names = (f"{HIDDEN}.first", f"{HIDDEN}.second")
    lengths = [graph.node("Shape", name, start=1, end=2) for name in names]
    longest = graph.node("Max", *lengths)
    whole = []
    for name, length in zip(names, lengths):
        end = graph.node("Sub", longest, length)  # [1]
        pads = graph.node("Concat", graph.integers([0, 0, 0, 0]), end, graph.integers([0]), axis=0)
        whole.append(graph.node("Pad", name, pads, graph.constant(0.0)))
    graph.node("Concat", *whole, axis=0, out=f"{HIDDEN}.next")
    ends = [(graph.dtype, [f"batch{i}", f"sequence{i}", hidden]) for i in (1, 2, 3)]
    save(graph.model(dict(zip(names, ends)), {f"{HIDDEN}.next": ends[2]}, OPSET), join, form)


_PREFIX = "exits."  # of the heads' weights, beside the model's


def _graph(model: nn.Layer, exits: Exits | None, form: Form) -> Graph:
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    if exits is not None:
        weights.update({_PREFIX + name: tensor.numpy() for name, tensor in exits.state_dict().items()})
    return Graph(np.float16 if form.half else np.float32, weights)


def _gemm(graph: Graph, x: str, name: str) -> str:
    return graph.node("Gemm", x, graph.parameter(f"{name}.weight"), graph.parameter(f"{name}.bias"))


def _linear(graph: Graph, x: str, name: str) -> str:
    product = graph.node("MatMul", x, graph.parameter(f"{name}.weight"))
    return graph.node("Add", product, graph.parameter(f"{name}.bias"))


def _ramp(graph: Graph, name: str, head: Ramp, first: str) -> str:
    x = _gemm(graph, first, name + "dense")
    for activation in head.activation:
        x = graph.activation(activation, x)
    return _gemm(graph, x, name + "classifier")


def _attention(graph: Graph, name: str, pad: int) -> str:
    masked = graph.cast(graph.node("Equal", INPUTS[0], graph.integers(pad)))  # [B, T]
    masked = graph.node("Mul", masked, graph.constant(MASKED))
    x = graph.node("Tanh", _linear(graph, HIDDEN, name + "project"))  # [B, T, 128]
    first = graph.node("Slice", x, graph.integers([0]), graph.integers([1]), graph.integers([1]))  # [B, 1, 128]

    def split(y: str, perm: list[int]) -> str:
        shaped = graph.node("Reshape", y, graph.integers([0, 0, HEAD_PARTS, HEAD_WIDTH // HEAD_PARTS]))
        return graph.node("Transpose", shaped, perm=perm)

    query = split(_linear(graph, first, name + "query"), [0, 2, 1, 3])  # [B, h, 1, d]
    key = split(_linear(graph, x, name + "key"), [0, 2, 3, 1])  # [B, h, d, T]
    value = split(_linear(graph, x, name + "value"), [0, 2, 1, 3])  # [B, h, T, d]
    query = graph.node("Mul", query, graph.constant((HEAD_WIDTH // HEAD_PARTS) ** -0.5))
    scores = graph.node("MatMul", query, key)  # [B, h, 1, T]
    scores = graph.node("Add", scores, graph.node("Unsqueeze", masked, graph.integers([1, 2])))
    context = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)  # [B, h, 1, d]
    flat = graph.node("Reshape", context, graph.integers([0, HEAD_WIDTH]))  # [B, 128]
    bent = graph.node("Tanh", _gemm(graph, _gemm(graph, flat, name + "out"), name + "dense"))
    return _gemm(graph, bent, name + "classifier")
