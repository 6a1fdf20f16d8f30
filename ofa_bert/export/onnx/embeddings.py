"""The embeddings of an ONNX graph: words, positions and token types, and the LayerNorm behind them."""

from __future__ import annotations

import numpy as np
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.export.onnx.form import Form, quantize
from ofa_bert.export.onnx.graph import OWN, Graph
from ofa_bert.models.encoder import backbone, family_of, projection_of
from ofa_bert.numerics import Array


class Embeddings:
    """Adds the nodes of a model's embeddings; every method returns the name of a tensor."""

    def __init__(self, model: nn.Layer, form: Form, graph: Graph):
        self.model, self.form, self.graph = model, form, graph
        self.prefix = f"{model.base_model_prefix}."
        self.lengths: str | None = None  # tokens of each sentence, int32 [B], where one operator gives both

    def write(self) -> str:
        """The states [B, T, H] that enter the first layer."""
        graph, name = self.graph, self.prefix + "embeddings."
        if self.form.fused and self._can_fuse():
            return self._fused(name)
        embedded = graph.node("Add", self._words(name + "word_embeddings.weight"), self._positions(name))
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

    def _can_fuse(self) -> bool:
        """Whether ONNX Runtime's one operator can express them: positions that count from 0, and token types."""
        types = f"{self.prefix}embeddings.token_type_embeddings.weight" in self.graph.weights
        family = family_of(self.model)
        counted = family.positions_after_padding or family.first_position
        return types and not counted and projection_of(self.model) is None

    def _fused(self, name: str) -> str:
        """[B, T, H] by ONNX Runtime's one operator."""
        graph, norm = self.graph, backbone(self.model).embeddings.layer_norm
        ids = [graph.node("Cast", one, to=graph.type_of(np.int32)) for one in INPUTS]
        is_token = np.ones(self.model.config.vocab_size, np.int32)
        is_token[backbone(self.model).pad_token_id] = 0
        # Looked up in one kernel, where a comparison takes three: at batch 1 kernels are what takes time.
        tokens = graph.node("Gather", graph.add(f"{name}is_token", is_token), INPUTS[0])  # int32 [B, T]
        tables = [graph.add(f"{name}word_embeddings.weight", self._word_table(f"{name}word_embeddings.weight"))]
        tables += [graph.parameter(f"{name}position_embeddings.weight"), self._type_table(name)]
        ends = [graph.parameter(f"{name}layer_norm.{end}") for end in ("weight", "bias")]
        states, self.lengths = graph.nodes(
            "EmbedLayerNormalization", 2, *ids, *tables, *ends, tokens, domain=OWN, epsilon=norm._epsilon
        )
        return states

    def _word_table(self, name: str) -> Array:
        table = self.graph.weights[name]
        padding = backbone(self.model).embeddings.word_embeddings._padding_idx
        if padding is not None and padding >= 0:  # Paddle looks zeros up for it
            table = table.copy()
            table[padding] = 0
        return table

    def _words(self, name: str) -> str:
        """The word embeddings [B, T, H], their table in as few bytes as costs nothing that counts."""
        graph, form = self.graph, self.form
        table = self._word_table(name)
        if form.weights == "dynamic":
            rows, scales = quantize(table, axis=1)
            found = graph.cast(graph.node("Gather", graph.add(name, rows), INPUTS[0]))
            scale = graph.node("Gather", graph.add(f"{name}.scale", scales), INPUTS[0])  # [B, T, 1]
            return graph.node("Mul", found, scale)
        if form.weights == "static":  # TensorRT knows int8 only behind QuantizeLinear
            found = graph.node("Gather", graph.add(name, table.astype("float16")), INPUTS[0])
            return found if form.half else graph.cast(found)
        return graph.node("Gather", graph.add(name, table), INPUTS[0])

    def _positions(self, name: str) -> str:
        graph = self.graph
        table = graph.parameter(name + "position_embeddings.weight")
        if family_of(self.model).positions_after_padding:  # padding has position pad_token_id, tokens count on
            padding = graph.padding(INPUTS[0], backbone(self.model).pad_token_id)
            ones = graph.node("Cast", graph.node("Not", padding), to=graph.type_of(np.int64))
            counted = graph.node("Mul", graph.node("CumSum", ones, graph.integers(1)), ones)
            places = graph.node("Add", counted, graph.integers(backbone(self.model).pad_token_id))  # [B, T]
            return graph.node("Gather", table, places)  # [B, T, H]
        end, first = graph.node("Shape", INPUTS[0], start=1, end=2), family_of(self.model).first_position
        if first:
            end = graph.node("Add", end, graph.integers([first]))
        return graph.node("Slice", table, graph.integers([first]), end, graph.integers([0]))  # [T, H]

    def _types(self, name: str) -> str | None:
        """Embeddings of token_type_ids [B, T, H], with the row that all tokens share added to them."""
        graph, weights, shared = self.graph, self.graph.weights, family_of(self.model).shared_row(self.model.config)
        table = name + "token_type_embeddings.weight"
        if table not in weights:
            if shared is None:
                return None
            return graph.add(f"{name}{shared[0]}.weight", weights[f"{name}{shared[0]}.weight"][shared[1]])  # [H]
        return graph.node("Gather", self._type_table(name), INPUTS[1])

    def _type_table(self, name: str) -> str:
        """The token types' rows, with the row that all tokens share added to each."""
        graph, weights, shared = self.graph, self.graph.weights, family_of(self.model).shared_row(self.model.config)
        table = f"{name}token_type_embeddings.weight"
        if shared is None:
            return graph.parameter(table)
        return graph.add(table, weights[table] + weights[f"{name}{shared[0]}.weight"][shared[1]])
