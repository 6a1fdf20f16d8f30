"""The ONNX graph of a classifier, written from its weights: no converter, one graph for each precision and purpose.

The portable graph has standard operators only (opset 17), in patterns that ONNX Runtime, OpenVINO and TensorRT fuse
by themselves: one matrix product for query, key and value, LayerNormalization, GELU by Erf. The fused graph has ONNX
Runtime's own EmbedLayerNormalization, Attention, SkipLayerNormalization and BiasGelu, which its CUDA provider runs
fastest. Heads and FFN sizes may differ from layer to layer.

Where the classifier reads the first token alone, the last layer computes nothing else: see `first_token_attention`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import RunError, first_line
from ofa_bert.export.onnx.embeddings import Embeddings
from ofa_bert.export.onnx.form import FACTOR_LIMIT, Form, held, quantize
from ofa_bert.export.onnx.graph import Graph
from ofa_bert.models.encoder import answers_per_token, backbone, classifier_head, encoder_layers
from ofa_bert.numerics import MASKED, Array

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17  # the first with LayerNormalization
HALF_STATIC_OPSET = 19  # the first whose QuantizeLinear and DequantizeLinear take float16
ACTIVATIONS = ("gelu", "relu")


def obstacle(model: nn.Layer) -> str | None:
    """Why this writer cannot express the model; None when it can."""
    act = getattr(model.config, "hidden_act", None)
    if act not in ACTIVATIONS:
        return f"its activation is {act}"
    if backbone(model).encoder.norm is not None or any(layer.normalize_before for layer in encoder_layers(model)):
        return "it normalizes before its layers"
    return None


def write(model: nn.Layer, target: Path, form: Form | None = None) -> None:
    """Write `model` to the ONNX file `target`. RunError when the result is not valid ONNX."""
    form = form or Form()
    graph = Graph(np.float16 if form.half else np.float32, {name: p.numpy() for name, p in model.state_dict().items()})
    Writer(model, form, graph).write()
    opset = HALF_STATIC_OPSET if form.half and form.weights == "static" else OPSET
    save(graph.finish(INPUTS, OUTPUT, output_dims(model), opset), target, form)


def output_dims(model: nn.Layer) -> tuple[str | int, ...]:
    """Of the logits: [B, C], or [B, T, C] of every token."""
    return ("batch", *(("sequence",) if answers_per_token(model) else ()), model.config.num_labels)


def save(built: ModelProto, target: Path, form: Form) -> None:
    """Check an ONNX model and write it."""
    import onnx

    try:
        onnx.checker.check_model(built, full_check=not form.fused and form.weights != "dynamic")
    except Exception as error:  # the checker and shape inference raise three unrelated types
        raise RunError(f"the ONNX graph is not valid: {first_line(error)}") from error
    onnx.save_model(built, str(target))


def linear_inputs(model: nn.Layer) -> list[str]:
    """The tensors of the portable graph that enter the linear layers of the encoder.

    Of a model that answers by its first token the last layer's states are not among them: its query, key and value
    stay in floating point.
    """
    names = [f"layer{i}.{part}" for i in range(len(encoder_layers(model))) for part in ENTERING]
    if not answers_per_token(model):
        names.remove(f"layer{len(encoder_layers(model)) - 1}.{ENTERING[0]}")
    return names


def residual_sums(model: nn.Layer) -> list[str]:
    """The tensors of the portable graph that enter the encoder's LayerNorms."""
    return [f"layer{i}.sum{place}" for i in range(len(encoder_layers(model))) for place in (1, 2)]


ENTERING = ("states", "context", "attended", "inner")


class Writer:
    """Walks through the model and adds nodes; every method takes and returns names of tensors."""

    def __init__(self, model: nn.Layer, form: Form, graph: Graph):
        self.model, self.form, self.graph = model, form, graph
        self.prefix = f"{model.base_model_prefix}."

    def write(self) -> None:
        graph = self.graph
        self.head(self.encoder(0, len(encoder_layers(self.model))))
        graph.rename(graph.last, OUTPUT)

    def encoder(self, begin: int, end: int, x: str | None = None) -> str:
        """States [B, T, H] after layers `begin` to `end - 1`, of `x` or of the embeddings.

        After the model's last layer those of the first token alone, [B, H], where it answers by that.
        """
        lengths = None
        if x is None:
            embeddings = Embeddings(self.model, self.form, self.graph)
            x, lengths = embeddings.write(), embeddings.lengths
        attend = self.fused_attention if self.form.fused else self.attention
        mask = (lengths or self._lengths()) if self.form.fused else self._masked()
        layers = list(enumerate(encoder_layers(self.model)))
        for index, layer in layers[begin:end]:
            if index < len(layers) - 1 or answers_per_token(self.model):
                attended = self.attended(index, layer, attend(index, layer.self_attn, x, mask), x)
            else:
                attended = self.first_attended(index, layer, x, mask)
            x = self.feed_forward(index, layer, attended)
        return x

    def _lengths(self) -> str:
        """Tokens of each sentence, int32 [B]: the only mask for which CUDA has one attention kernel."""
        padding = self.graph.padding(INPUTS[0], backbone(self.model).pad_token_id)
        tokens = self.graph.node("Cast", self.graph.node("Not", padding), to=self.graph.type_of(np.int32))
        return self.graph.node("ReduceSum", tokens, self.graph.integers([1]), keepdims=0)

    def _masked(self) -> str:
        """What is added to the scores of each token [B, 1, 1, T]."""
        graph = self.graph
        padding = graph.padding(INPUTS[0], backbone(self.model).pad_token_id)
        masked = graph.node("Where", padding, graph.constant(MASKED), graph.constant(0.0))
        return graph.node("Unsqueeze", masked, graph.integers([1, 2]))

    def attended(self, index: int, layer: nn.TransformerEncoderLayer, context: str, x: str) -> str:
        name, own = f"{self.prefix}encoder.layers.{index}.", f"layer{index}."
        return self.add_and_norm(
            own + "sum1", context, x, name + "self_attn.out_proj", name + "norm1", layer.norm1, own + "attended"
        )

    def first_attended(self, index: int, layer: nn.TransformerEncoderLayer, x: str, mask: str) -> str:
        """The first token's state [B, H] after attention."""
        place = self.graph.integers(0)
        first = self.graph.node("Gather", x, place, axis=1)
        if self.form.fused:
            # One kernel for all tokens takes less time than ten for one of them, at batch 1 most of all.
            context = self.fused_attention(index, layer.self_attn, x, mask)
            context = self.graph.node("Gather", context, place, axis=1)
        else:
            context = self.first_token_attention(index, layer.self_attn, x, first, mask)
        return self.attended(index, layer, context, first)

    def feed_forward(self, index: int, layer: nn.TransformerEncoderLayer, attended: str) -> str:
        name, own = f"{self.prefix}encoder.layers.{index}.", f"layer{index}."
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

    def first_token_attention(self, index: int, attention: nn.MultiHeadAttention, x: str, first: str, mask: str) -> str:
        """What the first token attends to [B, heads * d], from the states of all [B, T, H].

        With one query q a head, q . (W_k x + b_k) is (W_k^T q) . x and a constant that the softmax does not see, and
        the weighted mean of W_v x + b_v is W_v (the weighted mean of x) + b_v: the products with W_k and W_v are done
        once a sentence instead of once a token. The logits are the same, but for rounding.
        """
        graph, heads, size = self.graph, attention.num_heads, attention.head_dim
        name = f"{self.prefix}encoder.layers.{index}.self_attn."
        weights = {part: graph.weights[f"{name}{part}_proj.weight"].reshape(-1, heads, size) for part in "kv"}

        def by_head(states: str) -> str:
            """[a, b, c] -> [b, a, c]."""
            return graph.node("Transpose", states, perm=[1, 0, 2])

        query = graph.node("Mul", self._gemm(first, f"{name}q_proj"), graph.constant(size**-0.5))
        query = by_head(graph.node("Reshape", query, graph.integers([-1, heads, size])))  # [heads, B, d]
        key = graph.add(f"{name}k_proj.by_head", weights["k"].transpose(1, 2, 0))  # [heads, d, H]
        asked = by_head(graph.node("MatMul", query, key))  # [B, heads, H]
        scores = graph.node("MatMul", asked, graph.node("Transpose", x, perm=[0, 2, 1]))  # [B, heads, T]
        scores = graph.node("Add", scores, graph.node("Squeeze", mask, graph.integers([1])))
        shares = graph.node("Softmax", scores, axis=-1)
        mean = by_head(graph.node("MatMul", shares, x))  # [heads, B, H]
        value = graph.add(f"{name}v_proj.by_head", weights["v"].transpose(1, 0, 2))  # [heads, H, d]
        context = by_head(graph.node("MatMul", mean, value))  # [B, heads, d]
        context = graph.node("Reshape", context, graph.integers([-1, heads * size]))
        return graph.node("Add", context, graph.parameter(f"{name}v_proj.bias"), out=f"layer{index}.context")

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
        step, zero = graph.constant(float(held(form.scales[x], graph.dtype))), graph.constant(0, "int8")
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
        """Logits from the first token's state [B, H], or of all [B, T, H]. Its layers stay in floating point."""
        graph, head = self.graph, classifier_head(self.model)
        if head.dense is None:
            product = graph.node("MatMul", first, graph.parameter(f"{head.output}.weight"))
            graph.to_float32(graph.node("Add", product, graph.parameter(f"{head.output}.bias")))
            return
        x = self._gemm(first, head.dense)
        for name in head.activations:
            x = graph.activation(name, x)
        graph.to_float32(self._gemm(x, head.output))

    def _gemm(self, x: str, name: str) -> str:
        return self.graph.node("Gemm", x, *(self.graph.parameter(f"{name}.{leaf}") for leaf in ("weight", "bias")))
