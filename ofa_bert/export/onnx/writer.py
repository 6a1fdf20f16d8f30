"""The ONNX graph of a classifier, written from its weights: no converter, one graph for each precision and purpose.

The portable graph has standard operators only (opset 17), in patterns that ONNX Runtime, OpenVINO and TensorRT fuse
by themselves: one matrix product for query, key and value, LayerNormalization, GELU by Erf. The fused graph has ONNX
Runtime's own Attention, SkipLayerNormalization and BiasGelu, which its CUDA provider runs fastest. Heads and FFN sizes
may differ from layer to layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import RunError, first_line
from ofa_bert.export.onnx.graph import Graph
from ofa_bert.models.encoder import backbone, classifier_head, encoder_layers, family_of, projection_of
from ofa_bert.numerics import MASKED, Array

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17  # the first with LayerNormalization
HALF_STATIC_OPSET = 19  # the first whose QuantizeLinear and DequantizeLinear take float16
# Largest int8 value of a weight that is multiplied in int8. Processors without VNNI add two products of an activation
# (0 to 255) and a weight in 16 bits before anything wider. With 127 that sum overflows and is cut off: logits were off
# by 32 % of their spread there instead of 4 %. Twice 255 * 64 fits.
FACTOR_LIMIT = 64
ACTIVATIONS = ("gelu", "relu")


@dataclass(frozen=True)
class Form:
    """Which graph is written.

    weights: "float", "dynamic" (int8, activations quantized as they come) or "static" (int8, quantized by `scales`).
    scales: for "static", the scale of each tensor that enters a linear layer, by the names of `linear_inputs`.
    per_channel: a scale for each column of an int8 weight; False is there to show what that is worth.
    half: all that is not int8 is float16, the scales of int8 as well; with "float" or "static" weights.
    wide_norms: with half precision, the residual sums and LayerNorms that stay in float32.
    """

    weights: str = "float"
    half: bool = False
    fused: bool = False
    scales: Mapping[str, float] = field(default_factory=dict)
    per_channel: bool = True
    wide_norms: frozenset[str] = frozenset()


def obstacle(model: nn.Layer) -> str | None:
    """Why this writer cannot express the model; None when it can."""
    act = getattr(model.config, "hidden_act", None)
    if act not in ACTIVATIONS:
        return f"its activation is {act}"
    if backbone(model).encoder.norm is not None or any(layer.normalize_before for layer in encoder_layers(model)):
        return "it normalizes before its layers"
    return None


def write(model: nn.Layer, target: Path, form: Form = Form()) -> None:
    """Write `model` to the ONNX file `target`. RunError when the result is not valid ONNX."""
    graph = Graph(np.float16 if form.half else np.float32, {name: p.numpy() for name, p in model.state_dict().items()})
    Writer(model, form, graph).write()
    opset = HALF_STATIC_OPSET if form.half and form.weights == "static" else OPSET
    save(graph.finish(INPUTS, OUTPUT, model.config.num_labels, opset), target, form)


def save(built: ModelProto, target: Path, form: Form) -> None:
    """Check an ONNX model and write it."""
    import onnx

    try:
        onnx.checker.check_model(built, full_check=not form.fused and form.weights != "dynamic")
    except Exception as error:  # the checker and shape inference raise three unrelated types
        raise RunError(f"the ONNX graph is not valid: {first_line(error)}") from error
    onnx.save_model(built, str(target))


def linear_inputs(model: nn.Layer) -> list[str]:
    """The tensors of the portable graph that enter the linear layers of the encoder."""
    return [f"layer{i}.{part}" for i in range(len(encoder_layers(model))) for part in _ENTERING]


def residual_sums(model: nn.Layer) -> list[str]:
    """The tensors of the portable graph that enter the encoder's LayerNorms."""
    return [f"layer{i}.sum{place}" for i in range(len(encoder_layers(model))) for place in (1, 2)]


_ENTERING = ("states", "context", "attended", "inner")


class Writer:
    """Walks through the model and adds nodes; every method takes and returns names of tensors."""

    def __init__(self, model: nn.Layer, form: Form, graph: Graph):
        self.model, self.form, self.graph = model, form, graph
        self.prefix = f"{model.base_model_prefix}."
        self.hidden = model.config.hidden_size

    def write(self) -> None:
        graph = self.graph
        padding = graph.node("Equal", INPUTS[0], graph.integers(backbone(self.model).pad_token_id))  # [B, T]
        x = self.embeddings(padding)  # [B, T, H]
        mask = self.mask(padding)
        for index, layer in enumerate(encoder_layers(self.model)):
            x = self.layer(index, layer, x, mask)
        self.head(graph.node("Gather", x, graph.integers(0), axis=1))  # [B, H]: the first token
        graph.rename(graph.last, OUTPUT)

    def mask(self, padding: str) -> str:
        graph = self.graph
        if self.form.fused:  # tokens of each sentence, int32 [B]: the only form for which CUDA has one attention kernel
            tokens = graph.node("Cast", graph.node("Not", padding), to=graph.type_of(np.int32))
            return graph.node("ReduceSum", tokens, graph.integers([1]), keepdims=0)
        masked = graph.node("Mul", graph.cast(padding), graph.constant(MASKED))  # [B, T]
        return graph.node("Unsqueeze", masked, graph.integers([1, 2]))  # [B, 1, 1, T]

    def embeddings(self, padding: str) -> str:
        graph, name = self.graph, self.prefix + "embeddings."
        embedded = graph.node("Add", self.words(name + "word_embeddings.weight"), self.positions(name, padding))
        types = self._types(name)
        if types is not None:
            embedded = graph.node("Add", embedded, types)
        epsilon, first = backbone(self.model).embeddings.layer_norm._epsilon, "layer0.states"
        own = family_of(self.model).projection
        if own is None or projection_of(self.model) is None:
            return graph.norm(embedded, name + "layer_norm", epsilon, first, wide=False)
        narrow = graph.norm(embedded, name + "layer_norm", epsilon, None, wide=False)  # [B, T, E]
        projection = self.prefix + own  # in floating point: it is small
        product = graph.node("MatMul", narrow, graph.parameter(f"{projection}.weight"))
        return graph.node("Add", product, graph.parameter(f"{projection}.bias"), out=first)

    def words(self, name: str) -> str:
        """The word embeddings [B, T, H], their table in as few bytes as costs nothing that counts."""
        graph, form = self.graph, self.form
        table = graph.weights[name]
        padding = backbone(self.model).embeddings.word_embeddings._padding_idx
        if padding is not None and padding >= 0:  # Paddle looks zeros up for it
            table = table.copy()
            table[padding] = 0
        if form.weights == "dynamic":
            rows, scales = quantize(table, axis=1)
            found = graph.cast(graph.node("Gather", graph.add(name, rows), INPUTS[0]))
            scale = graph.node("Gather", graph.add(f"{name}.scale", scales), INPUTS[0])  # [B, T, 1]
            return graph.node("Mul", found, scale)
        if form.weights == "static":  # TensorRT knows int8 only behind QuantizeLinear
            found = graph.node("Gather", graph.add(name, table.astype("float16")), INPUTS[0])
            return found if form.half else graph.cast(found)
        return graph.node("Gather", graph.add(name, table), INPUTS[0])

    def positions(self, name: str, padding: str) -> str:
        graph = self.graph
        table = graph.parameter(name + "position_embeddings.weight")
        if family_of(self.model).positions_after_padding:  # padding has position pad_token_id, tokens count on
            ones = graph.node("Cast", graph.node("Not", padding), to=graph.type_of(np.int64))
            counted = graph.node("Mul", graph.node("CumSum", ones, graph.integers(1)), ones)
            places = graph.node("Add", counted, graph.integers(backbone(self.model).pad_token_id))  # [B, T]
            return graph.node("Gather", table, places)  # [B, T, H]
        length = graph.node("Shape", INPUTS[0], start=1, end=2)
        return graph.node("Slice", table, graph.integers([0]), length, graph.integers([0]))  # [T, H]

    def _types(self, name: str) -> str | None:
        """Embeddings of token_type_ids [B, T, H], with the row that all tokens share added to them."""
        graph, weights, shared = self.graph, self.graph.weights, family_of(self.model).shared_row(self.model.config)
        table = name + "token_type_embeddings.weight"
        if shared is None:
            return graph.node("Gather", graph.parameter(table), INPUTS[1]) if table in weights else None
        row = weights[f"{name}{shared[0]}.weight"][shared[1]]  # [H]
        if table not in weights:
            return graph.add(f"{name}{shared[0]}.weight", row.astype(graph.dtype))
        return graph.node("Gather", graph.add(table, (weights[table] + row).astype(graph.dtype)), INPUTS[1])

    def layer(self, index: int, layer: nn.TransformerEncoderLayer, x: str, mask: str) -> str:
        name, own = f"{self.prefix}encoder.layers.{index}.", f"layer{index}."
        context = (self.fused_attention if self.form.fused else self.attention)(index, layer.self_attn, x, mask)
        attended = self.add_and_norm(
            own + "sum1", context, x, name + "self_attn.out_proj", name + "norm1", layer.norm1, own + "attended"
        )
        inner = self.activated(name + "linear1", attended, own + "inner")  # [B, T, n]
        following = f"layer{index + 1}.states"
        return self.add_and_norm(
            own + "sum2", inner, attended, name + "linear2", name + "norm2", layer.norm2, following
        )

    def qkv(self, index: int) -> tuple[str, Array, Array]:
        """Name, weight [H, 3 * heads * d] and bias of the three projections as one."""
        name = f"{self.prefix}encoder.layers.{index}.self_attn."
        parts = [name + f"{part}_proj." for part in "qkv"]
        weights = [self.graph.weights[part + "weight"] for part in parts]
        biases = [self.graph.weights[part + "bias"] for part in parts]
        return name + "qkv_proj", np.concatenate(weights, axis=1), np.concatenate(biases)

    def attention(self, index: int, attention: nn.MultiHeadAttention, x: str, mask: str) -> str:
        graph, heads, size = self.graph, attention.num_heads, attention.head_dim
        name, weight, bias = self.qkv(index)
        scale = np.ones(weight.shape[1])
        scale[: heads * size] = size**-0.5  # queries are scaled beforehand, in float64
        packed = self.linear(x, name, (weight * scale).astype("float32"), (bias * scale).astype("float32"))
        packed = graph.node("Reshape", packed, graph.integers([0, 0, 3 * heads, size]))
        packed = graph.node("Transpose", packed, perm=[0, 2, 1, 3])  # [B, 3 * heads, T, d]
        query, key, value = graph.nodes("Split", 3, packed, graph.integers([heads] * 3), axis=1)
        scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
        shares = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)  # [B, heads, T, T]
        context = graph.node("Transpose", graph.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return graph.node("Reshape", context, graph.integers([0, 0, heads * size]), out=f"layer{index}.context")

    def fused_attention(self, index: int, attention: nn.MultiHeadAttention, x: str, mask: str) -> str:
        name, weight, bias = self.qkv(index)
        matrix, vector = self.graph.add(f"{name}.weight", weight), self.graph.add(f"{name}.bias", bias)
        sizes = [attention.num_heads * attention.head_dim] * 3
        return self.graph.own(
            "Attention", x, matrix, vector, mask, num_heads=attention.num_heads, qkv_hidden_sizes=sizes
        )

    def linear(self, x: str, name: str, weight: Array, bias: Array) -> str:
        """x @ weight + bias in the form's arithmetic."""
        graph, form = self.graph, self.form
        if form.weights == "float":
            product = graph.node("MatMul", x, graph.add(f"{name}.weight", weight))
            return graph.node("Add", product, graph.add(f"{name}.bias", bias))
        stored = graph.dtype if form.weights == "static" else np.float32
        columns, scales = quantize(weight, axis=0, most=FACTOR_LIMIT, per_channel=form.per_channel, stored=stored)
        scales = np.broadcast_to(scales, (1, weight.shape[1]))[0]
        matrix, scale = graph.add(f"{name}.weight", columns), graph.add(f"{name}.scale", scales)
        vector = graph.add(f"{name}.bias", bias)
        if form.weights == "dynamic":
            return graph.own("DynamicQuantizeMatMul", x, matrix, scale, "", vector)
        step, zero = graph.constant(float(_held(form.scales[x], graph.dtype))), graph.constant(0, "int8")
        rounded = graph.node("DequantizeLinear", graph.node("QuantizeLinear", x, step, zero), step, zero)
        zeros = graph.add(f"{name}.zero", np.zeros(weight.shape[1], "int8"))
        product = graph.node("MatMul", rounded, graph.node("DequantizeLinear", matrix, scale, zeros, axis=1))
        return graph.node("Add", product, vector)

    def stored(self, name: str) -> tuple[str, Array, Array]:
        return name, self.graph.weights[f"{name}.weight"], self.graph.weights[f"{name}.bias"]

    def add_and_norm(self, place: str, y: str, x: str, linear: str, norm: str, layer: nn.LayerNorm, out: str) -> str:
        """LayerNorm(x + linear(y)); `place` names the sum."""
        graph, epsilon = self.graph, layer._epsilon
        if self.form.fused and place not in self.form.wide_norms:
            product = graph.node("MatMul", y, graph.parameter(f"{linear}.weight"))
            ends = [graph.parameter(name) for name in (f"{norm}.weight", f"{norm}.bias", f"{linear}.bias")]
            return graph.own("SkipLayerNormalization", product, x, *ends, epsilon=epsilon, out=out)
        projected = self.linear(y, *self.stored(linear))
        wide = self.form.half and place in self.form.wide_norms
        if wide:
            x, projected = (graph.node("Cast", t, to=graph.type_of(np.float32)) for t in (x, projected))
        return graph.norm(graph.node("Add", x, projected, out=place), norm, epsilon, out, wide)

    def activated(self, linear: str, x: str, out: str) -> str:
        graph, act = self.graph, self.model.config.hidden_act
        if self.form.fused and act == "gelu":
            product = graph.node("MatMul", x, graph.parameter(f"{linear}.weight"))
            return graph.own("BiasGelu", product, graph.parameter(f"{linear}.bias"), out=out)
        return graph.activation(act, self.linear(x, *self.stored(linear)), out=out)

    def head(self, first: str) -> None:
        """Logits from the first token's state [B, H]. Its layers stay in floating point: they are small."""
        graph, head = self.graph, classifier_head(self.model)
        x = self._gemm(first, head.dense)
        for name in head.activations:
            x = graph.activation(name, x)
        graph.to_float32(self._gemm(x, head.output))

    def _gemm(self, x: str, name: str) -> str:
        return self.graph.node("Gemm", x, *(self.graph.parameter(f"{name}.{leaf}") for leaf in ("weight", "bias")))


def quantize(
    array: Array, axis: int, most: int = 127, per_channel: bool = True, stored: DTypeLike = np.float32
) -> tuple[Array, Array]:
    """(int8 values up to +-`most`, float32 scales) of a matrix; `axis` is the one that shares a scale, and is kept.

    stored: the type that the scales will have; the values are of the scales as they are in it.
    """
    largest = np.abs(array).max(axis=axis if per_channel else None, keepdims=True)
    scales = _held(np.where(largest > 0, largest / most, 1), stored)
    return np.clip(np.rint(array / scales), -most, most).astype("int8"), scales


def _held(scales: ArrayLike, stored: DTypeLike) -> Array:
    """Scales as a file holds them, in float32; what float16 would round to zero becomes the least that it has."""
    made = np.asarray(scales).astype(stored)
    return np.maximum(made, np.finfo(made.dtype).smallest_subnormal).astype(np.float32)
