"""Parts of a model with exits joined to one ONNX graph: as many layers as an exit needs, and its head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert.bundle.exits import HIDDEN
from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import UserError
from ofa_bert.system import packages

if TYPE_CHECKING:
    from onnx import NodeProto, OperatorSetIdProto, TensorProto


def merge(parts: Sequence[Path], target: Path) -> None:
    """Write one model of token ids that runs the parts in a row, each on the hidden states of the one before.

    It gives the last part's logits alone. UserError without the package onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"predicted exits on a GPU: {packages.missing('onnx')}") from error
    models = [onnx.load(str(part)) for part in parts]
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    opsets: dict[str, OperatorSetIdProto] = {}
    hidden = ""
    for number, model in enumerate(models):
        names = {**{name: name for name in INPUTS}, HIDDEN: hidden, "": ""}  # "" is an optional input that is left out
        if number == len(models) - 1:
            names[OUTPUT] = OUTPUT

        def own(name: str, names: dict[str, str] = names, prefix: str = f"part{number}.") -> str:
            return names.setdefault(name, prefix + name)

        for node in model.graph.node:
            node.name = own(node.name)
            node.input[:], node.output[:] = map(own, node.input), map(own, node.output)
        for tensor in model.graph.initializer:
            tensor.name = own(tensor.name)
        nodes += model.graph.node
        tensors += model.graph.initializer
        opsets.update((opset.domain, opset) for opset in model.opset_import)
        hidden = own(f"{HIDDEN}.next")
    inputs = {value.name: value for model in models for value in model.graph.input if value.name in INPUTS}
    outputs = [value for value in models[-1].graph.output if value.name == OUTPUT]
    graph = onnx.helper.make_graph(nodes, "ofa_bert", [inputs[name] for name in INPUTS], outputs, tensors)
    made = onnx.helper.make_model(graph, opset_imports=list(opsets.values()), ir_version=models[0].ir_version)
    onnx.save_model(made, str(target))
