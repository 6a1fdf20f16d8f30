"""The ONNX graph gets its deployable form, and a converter that cannot work is refused before it starts."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.models import build
from ofa_bert.errors import UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.onnx import converter as export_onnx_converter
from ofa_bert.models.record import ModelRecord

FITTING = {"paddle2onnx": "1.3.1", "onnx": "1", "onnxruntime": "1"}


def test_constants_behind_identities_become_initializers():
    weight = numpy_helper.from_array(np.arange(12, dtype="float32").reshape(4, 3), "ignored")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Constant", [], ["unused"], value=weight),
        helper.make_node("Identity", ["w"], ["w1"]),
        helper.make_node("Identity", ["w1"], ["w2"]),
        helper.make_node("Identity", ["x"], ["x1"]),
        helper.make_node("MatMul", ["x1", "w2"], ["y1"]),
        helper.make_node("Identity", ["y1"], ["y"]),
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph(nodes, "g", [source], [result])
    export_onnx_converter.constants_to_initializers(graph)
    export_onnx_converter.drop_identities(graph)
    export_onnx_converter.drop_unused(graph)
    assert [item.name for item in graph.initializer] == ["w"]
    assert [(node.op_type, *node.input) for node in graph.node] == [("MatMul", "x", "w"), ("Identity", "y1")]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.random.default_rng(0).random((2, 4), "float32")
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, x @ numpy_helper.to_array(weight), rtol=1e-6)


@pytest.mark.parametrize(
    ("paddle_version", "found", "named"),
    [
        ("2.6.2", {}, "needs onnx, onnxruntime: .*paddle2onnx==1.3.1"),
        ("2.6.2", {"onnx": "1", "onnxruntime": "1"}, "needs paddle2onnx: "),
        ("2.6.2", {**FITTING, "paddle2onnx": "2.1.0"}, "2.1.0 .* Paddle 2.6.2: .*paddle2onnx==1.3.1"),
        ("3.3.1", FITTING, "paddle2onnx 1.3.1 .* Paddle 3.3.1: .*paddle2onnx==2.1.0"),
    ],
)
def test_without_a_fitting_converter_the_cure_is_named(paddle_version, found, named, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx_converter, "versions", lambda: found)
    monkeypatch.setattr(export_onnx_converter, "_paddle_version", lambda: paddle_version)
    with pytest.raises(UserError, match=named) as error:
        # Only what the writer cannot express needs the converter.
        export_bundle(build(hidden_act="tanh"), None, ModelRecord(), tmp_path / "bundle", 8, onnx=True)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("paddle_version", "converter"), [("2.6.2", "1.3.1"), ("3.3.1", "2.1.0"), ("0.0.0", "2.1.0")])
def test_a_fitting_converter_passes(paddle_version, converter, monkeypatch):
    monkeypatch.setattr(export_onnx_converter, "versions", lambda: {**FITTING, "paddle2onnx": converter})
    monkeypatch.setattr(export_onnx_converter, "_paddle_version", lambda: paddle_version)
    export_onnx_converter.require_converter()
