"""ONNX from an exported static model, for models that `onnx_write` cannot express: paddle2onnx converts, this module
gives the graph its deployable form.

paddle2onnx 1.3 and 2.1 put every weight into a Constant node, and 2.1 adds Identity nodes between operators.
ONNX Runtime's quantizers look for initializers and find nothing to do in such a graph.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ofa_bert.bundle.manifest import OUTPUT
from ofa_bert.errors import RunError, UserError, first_line
from ofa_bert.system import packages

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedScalarFieldContainer
    from google.protobuf.message import Message
    from onnx import GraphProto, NodeProto, ValueInfoProto

M = TypeVar("M", bound="Message")

# The first opset in which LayerNormalization is one operator; both supported paddle2onnx versions reach it.
OPSET = 17
NEEDED = ("paddle2onnx", "onnx", "onnxruntime")


def versions() -> dict[str, str]:
    """The installed version of each package that ONNX export needs; a missing one has no entry."""
    found = {}
    for package in NEEDED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def require(packages: Sequence[str] = NEEDED) -> None:
    """Raise UserError, with the cure, unless the packages are installed."""
    found = versions()
    missing = [package for package in packages if package not in found]
    if missing:
        raise UserError(f"ONNX export needs {', '.join(missing)}: {_cure()}")


def require_converter() -> None:
    """Raise UserError unless paddle2onnx, onnx and onnxruntime are installed, in versions that fit Paddle."""
    require()
    converter = versions()["paddle2onnx"]
    if (_major(converter) >= 2) != (_paddle_major() >= 3):
        raise UserError(f"paddle2onnx {converter} does not work with Paddle {_paddle_version()}: {_cure()}")


def _cure() -> str:
    extra = "cpu" if _paddle_major() < 3 else "paddle3"
    wanted = "paddle2onnx==1.3.1" if _paddle_major() < 3 else "paddle2onnx==2.1.0"
    return f'pip install "{wanted}" onnx onnxruntime, or {packages.install(extra)}'


def _paddle_version() -> str:
    import paddle

    return str(paddle.__version__)


def _paddle_major() -> int:
    # A development build calls itself 0.0.0; it is newer than every release.
    return _major(_paddle_version()) or 3


def _major(version: str) -> int:
    return int(version.split(".")[0])


def write_onnx(
    static_model: Path,
    parameters: Path,
    target: Path,
    parameter_names: Mapping[str, str],
    dims: Sequence[str | int],
) -> None:
    """Convert a static model, inputs [batch, sequence], to the ONNX file `target`; weights are initializers.

    dims: of the output, [B, C] or [B, T, C].
    `parameter_names` maps Paddle's running names (linear_20.w_0) to those that the initializers shall have.
    Raises RunError when the conversion fails or its result is not valid ONNX.
    """
    import onnx

    model = onnx.load_model_from_string(_convert(static_model, parameters))
    constants_to_initializers(model.graph)
    drop_identities(model.graph)
    drop_unused(model.graph)
    _rename(model.graph, dict(parameter_names))
    _name_outside(model.graph, dims)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference raise three unrelated types
        raise RunError(f"the converted ONNX graph is not valid: {first_line(error)}") from error
    onnx.save_model(model, str(target))


def _convert(static_model: Path, parameters: Path) -> bytes:
    import paddle2onnx

    try:
        # Without save_file version 2.1 returns before polygraphy, which would pip-install packages by itself.
        content = paddle2onnx.export(
            str(static_model), str(parameters), save_file=None, opset_version=OPSET, verbose=False
        )
    except Exception as error:  # 1.3 raises what C++ threw; 2.1 logs that, then raises UnboundLocalError
        raise RunError(f"paddle2onnx failed on {static_model.name}: {first_line(error)}") from error
    if not content:
        raise RunError(f"paddle2onnx returned nothing for {static_model.name}")
    return bytes(content)


def constants_to_initializers(graph: GraphProto) -> None:
    """Turn each Constant node that holds a tensor into an initializer of the same name."""
    kept = []
    for node in graph.node:
        value = next((item.t for item in node.attribute if item.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            graph.initializer.add().CopyFrom(value)
            graph.initializer[-1].name = node.output[0]
        else:
            kept.append(node)
    _replace_nodes(graph, kept)


def drop_identities(graph: GraphProto) -> None:
    """Remove Identity nodes, so that what they passed on (often a weight) is read directly."""
    outputs = {item.name for item in graph.output}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:  # in topological order: an Identity of an Identity resolves at once
        _map_names(node.input, source)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            source[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    _replace_nodes(graph, kept)


def drop_unused(graph: GraphProto) -> None:
    """Remove initializers that no node reads; ONNX Runtime warns about each."""
    read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    kept = _copies(item for item in graph.initializer if item.name in read)
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _copies(messages: Iterable[M]) -> list[M]:
    # Deleting a repeated field invalidates the messages that it held.
    return [type(message).FromString(message.SerializeToString()) for message in messages]


def _replace_nodes(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    copies = _copies(nodes)
    del graph.node[:]
    graph.node.extend(copies)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Rename tensors everywhere in the graph."""
    for node in graph.node:
        _map_names(node.input, names)
        _map_names(node.output, names)
    for item in [*graph.initializer, *graph.input, *graph.output]:
        item.name = names.get(item.name, item.name)


def _map_names(field: RepeatedScalarFieldContainer[str], names: Mapping[str, str]) -> None:
    for index, name in enumerate(field):
        field[index] = names.get(name, name)


def _name_outside(graph: GraphProto, dims: Sequence[str | int]) -> None:
    """Give the output its name, and the free dimensions theirs."""
    _rename(graph, {graph.output[0].name: OUTPUT})
    for value in graph.input:
        _set_dims(value, ("batch", "sequence"))
    _set_dims(graph.output[0], dims)
    # Shapes inside the graph refer to the converter's names for the free dimensions.
    del graph.value_info[:]


def _set_dims(value: ValueInfoProto, dims: Sequence[str | int]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for dim in dims:
        if isinstance(dim, str):
            shape.dim.add().dim_param = dim
        else:
            shape.dim.add().dim_value = dim
