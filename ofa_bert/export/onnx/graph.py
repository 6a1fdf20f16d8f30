"""An ONNX graph in the making: nodes, weights and constants, each known by the name of its tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ofa_bert.numerics import Array

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OWN = "com.microsoft"  # the domain of ONNX Runtime's own operators
_IR_VERSION = 8  # of opset 17: older runtimes refuse newer ones

Place: TypeAlias = tuple[DTypeLike, Sequence[str | int]]  # type and shape of an input or output
Attribute: TypeAlias = int | float | str | Sequence[int]  # of a node


class Graph:
    """Collects a graph whose floating-point tensors are of `dtype`; `weights` holds the model's, float32, by name."""

    def __init__(self, dtype: DTypeLike, weights: Mapping[str, Array]):
        self.dtype = np.dtype(dtype)
        self.weights = weights
        self._nodes: list[NodeProto] = []
        self._tensors: dict[str, TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._padding: str | None = None

    @property
    def last(self) -> str:
        return self._nodes[-1].output[0]

    def node(self, op: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: Attribute) -> str:
        """Add a node with one output and return that output's name."""
        from onnx import helper

        name = f"{op}_{len(self._nodes)}"
        made = helper.make_node(op, list(inputs), [out or name], name=name, domain=domain)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self._nodes.append(made)
        return out or name

    def own(self, op: str, *inputs: str, out: str | None = None, **attributes: Attribute) -> str:
        """A node of ONNX Runtime's own operators."""
        return self.node(op, *inputs, out=out, domain=OWN, **attributes)

    def nodes(self, op: str, count: int, *inputs: str, domain: str = "", **attributes: Attribute) -> list[str]:
        """Add one node with several outputs."""
        self.node(op, *inputs, out=None, domain=domain, **attributes)
        first = self._nodes[-1].output[0]
        self._nodes[-1].output.extend(f"{first}_{index}" for index in range(1, count))
        return list(self._nodes[-1].output)

    def rename(self, tensor: str, name: str) -> None:
        """Rename the output of the last node."""
        assert self._nodes[-1].output[0] == tensor
        self._nodes[-1].output[0] = name

    def add(self, name: str, array: Array) -> str:
        """Store an array under this name; float32 takes the graph's dtype."""
        from onnx import numpy_helper

        array = array.astype(self.dtype) if array.dtype == np.float32 else array
        self._tensors[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def parameter(self, name: str) -> str:
        """Store one of the model's own weights."""
        return name if name in self._tensors else self.add(name, self.weights[name])

    def constant(self, value: float, dtype: str | None = None) -> str:
        """A scalar, stored once."""
        return self._shared(np.asarray(value, dtype or self.dtype))

    def integers(self, value: int | Sequence[int]) -> str:
        """An int64 scalar or vector, stored once."""
        return self._shared(np.asarray(value, "int64"))

    def _shared(self, array: Array) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            from onnx import numpy_helper

            name = f"constant_{len(self._constants)}"
            self._tensors[name] = numpy_helper.from_array(array, name)
            self._constants[key] = name
        return self._constants[key]

    def padding(self, ids: str, pad_token_id: int) -> str:
        """Where there is no token, bool [B, T]: one node, however often it is asked for."""
        if self._padding is None:
            self._padding = self.node("Equal", ids, self.integers(pad_token_id))
        return self._padding

    def type_of(self, dtype: DTypeLike) -> int:
        from onnx import helper

        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def cast(self, tensor: str) -> str:
        return self.node("Cast", tensor, to=self.type_of(self.dtype))

    def to_float32(self, tensor: str) -> str:
        return tensor if self.dtype == np.float32 else self.node("Cast", tensor, to=self.type_of(np.float32))

    def activation(self, name: str, x: str, out: str | None = None) -> str:
        """tanh, relu or gelu, the last with operators that every runtime recognises and fuses."""
        if name != "gelu":
            return self.node({"tanh": "Tanh", "relu": "Relu"}[name], x, out=out)
        bent = self.node("Erf", self.node("Div", x, self.constant(2**0.5)))
        doubled = self.node("Mul", x, self.node("Add", bent, self.constant(1)))
        return self.node("Mul", doubled, self.constant(0.5), out=out)

    def norm(self, x: str, name: str, epsilon: float, out: str | None, wide: bool) -> str:
        """LayerNormalization over the last axis; `wide`: x is float32 whatever the graph's dtype is."""
        if not wide:
            ends = (self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"))
            return self.node("LayerNormalization", x, *ends, out=out, axis=-1, epsilon=epsilon)
        from onnx import numpy_helper

        ends = (f"{name}.weight", f"{name}.bias")
        for end in ends:
            self._tensors[end] = numpy_helper.from_array(self.weights[end], end)
        narrow = self.node("LayerNormalization", x, *ends, axis=-1, epsilon=epsilon)
        return self.node("Cast", narrow, out=out, to=self.type_of(self.dtype))

    def finish(self, inputs: Sequence[str], output: str, dims: Sequence[str | int], opset: int) -> ModelProto:
        """The whole as a ModelProto: int64 [batch, sequence] inputs, one float32 output of these dimensions."""
        ids = {name: (np.int64, ["batch", "sequence"]) for name in inputs}
        return self.model(ids, {output: (np.float32, list(dims))}, opset)

    def model(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place], opset: int) -> ModelProto:
        """The whole as a ModelProto, whose inputs and outputs have these types and shapes."""
        from onnx import helper

        given, found = (
            [helper.make_tensor_value_info(name, self.type_of(dtype), shape) for name, (dtype, shape) in side.items()]
            for side in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, "ofa_bert", given, found, list(self._tensors.values()))
        opsets = [helper.make_opsetid("", opset)]
        if any(node.domain == OWN for node in self._nodes):
            opsets.append(helper.make_opsetid(OWN, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="ofa_bert")
