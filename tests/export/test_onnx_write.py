"""The written graphs: the model's own logits in every form and family, fused as far as they go, readable elsewhere."""

import collections

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from helpers.models import build, randomise
from ofa_bert.export.onnx import writer
from ofa_bert.export.onnx.form import Form, quantize
from ofa_bert.export.onnx.writer import write
from ofa_bert.models import encoder
from ofa_bert.models.families.registry import MODEL_TYPES

HEADS, FFN = (1, 4, 3), (10, 64, 33)


def tiny(model_type="bert", heads=HEADS, ffn=FFN, **config):
    model = build(model_type, layers=3, vocab_size=200, **config)
    if heads:
        encoder.resize(model, heads, ffn)
    model.eval()
    return randomise(model, seed=7)


def inputs(batch, length, pad=0):
    ids = np.random.default_rng(3).integers(5, 200, (batch, length))
    ids[1::2, length - length // 3 :] = pad
    return ids, (np.arange(length) >= length // 2).astype("int64") * (ids != pad)


def want(model, batch):
    with paddle.no_grad():
        return model(*map(paddle.to_tensor, batch)).numpy()


def session(path, **more):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for name, value in more.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path, batch):
    return session(path).run(["logits"], dict(zip(("input_ids", "token_type_ids"), batch)))[0]


@pytest.mark.slow(but="bert-uneven")
@pytest.mark.parametrize(("heads", "ffn"), [(HEADS, FFN), (None, None)], ids=["uneven", "full"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_form_has_the_models_logits(model_type, heads, ffn, tmp_path):
    model = tiny(model_type, heads, ffn)
    # Read from the first use of its logits: what a scale may be in a graph of random weights.
    scales = dict.fromkeys(writer.linear_inputs(model), 0.05)
    forms = {
        "portable": (Form(), 2e-5),
        "fused": (Form(fused=True), 2e-5),
        "half": (Form(half=True), 0.02),
        "half, fused": (Form(half=True, fused=True), 0.02),
        "half, wide norms": (Form(half=True, wide_norms=frozenset(writer.residual_sums(model)[:3])), 0.02),
        "half, fused, wide": (Form(half=True, fused=True, wide_norms=frozenset(["layer1.sum2"])), 0.02),
        "int8": (Form(weights="dynamic"), 0.15),
        "int8-static": (Form(weights="static", scales=scales), 0.25),
        "int8-static, half": (Form(weights="static", half=True, scales=scales), 0.25),
        "int8-static, half, wide": (
            Form(weights="static", half=True, scales=scales, wide_norms=frozenset(["layer0.sum1", "layer2.sum2"])),
            0.25,
        ),
    }
    for name, (form, tolerance) in forms.items():
        write(model, tmp_path / "model.onnx", form)
        for shape in ((3, 29), (7, 1), (1, encoder.longest_input(model))):
            batch = inputs(*shape)
            found = logits(tmp_path / "model.onnx", batch)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, want(model, batch), atol=tolerance, err_msg=f"{name} {shape}")


class DynamicQuantizeMatMul(OpRun):
    """ONNX Runtime's operator, known by the name of its class, without the overflow of a CPU without VNNI."""

    op_domain = "com.microsoft"

    def _run(self, x, matrix, scale, _, bias):
        low, high = min(x.min(), 0), max(x.max(), 0)
        step = np.float32((high - low) / 255) or np.float32(1)
        zero = np.rint(-low / step)
        rounded = np.clip(np.rint(x / step) + zero, 0, 255) - zero
        return ((rounded @ matrix.astype("f8") * step * scale + bias).astype("f4"),)


@pytest.mark.parametrize(("heads", "ffn"), [(HEADS, FFN), (None, None)], ids=["uneven", "full"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_int8_graph_is_near_the_model_on_every_cpu(model_type, heads, ffn, tmp_path):
    model = tiny(model_type, heads, ffn)
    write(model, tmp_path / "model.onnx", Form(weights="dynamic"))
    exact = ReferenceEvaluator(onnx.load(str(tmp_path / "model.onnx")), new_ops=[DynamicQuantizeMatMul])
    for shape in ((3, 29), (7, 1)):
        batch = inputs(*shape)
        (found,) = exact.run(None, dict(zip(("input_ids", "token_type_ids"), batch)))
        np.testing.assert_allclose(found, want(model, batch), atol=0.15)


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("bert", {"pad_token_id": 4}),
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"pool_act": "relu"}),
        ("electra", {"pad_token_id": 4}),
        ("electra", {"hidden_act": "relu"}),
        ("electra", {"embedding_size": 32}),  # the hidden size: there is no projection
        ("electra", {"embedding_size": 48}),
    ],
)
def test_settings_of_a_model_are_followed(model_type, config, tmp_path):
    model = tiny(model_type, **config)
    encoder.encoder_layers(model)[1].norm2._epsilon = 9e-4
    for form in (Form(), Form(fused=True)):
        write(model, tmp_path / "model.onnx", form)
        batch = inputs(3, 9, pad=config.get("pad_token_id", 0))
        np.testing.assert_allclose(logits(tmp_path / "model.onnx", batch), want(model, batch), atol=2e-5)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_of_nothing_but_padding_agree_too(model_type, tmp_path):
    model = tiny(model_type)
    # So much of a score is rounded away below -10000.
    batch = (np.zeros((2, 5), "int64"), np.zeros((2, 5), "int64"))
    write(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(logits(tmp_path / "model.onnx", batch), want(model, batch), atol=2e-4)


def operators(path):
    return collections.Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def assert_fused(path, layers=3):
    counts = operators(path)
    assert counts["Attention"] == layers
    assert counts["BiasGelu"] + counts["Gelu"] == layers
    assert counts["SkipLayerNormalization"] == 2 * layers
    assert counts["EmbedLayerNormalization"] == 1
    assert not counts["LayerNormalization"]
    assert not counts["Erf"]
    assert not counts["Softmax"]


def test_after_onnx_runtimes_optimisation_each_layer_is_fused(tmp_path):
    write(tiny(), tmp_path / "model.onnx", Form(fused=True))
    session(tmp_path / "model.onnx", optimized_model_filepath=str(tmp_path / "optimized.onnx"))
    assert_fused(tmp_path / "optimized.onnx")


@pytest.mark.parametrize("half", [False, True])
def test_the_transformers_optimiser_finds_nothing_left_to_fuse(half, tmp_path):
    pytest.importorskip("torch")  # which this part of ONNX Runtime imports
    from onnxruntime.transformers import optimizer

    write(tiny(), tmp_path / "model.onnx", Form(fused=True, half=half))
    optimized = optimizer.optimize_model(str(tmp_path / "model.onnx"), model_type="bert", num_heads=0, hidden_size=0)
    optimized.save_model_to_file(str(tmp_path / "optimized.onnx"))
    assert_fused(tmp_path / "optimized.onnx")


def test_the_portable_graph_is_standard_and_lean(tmp_path):
    write(tiny(), tmp_path / "model.onnx")
    graph = onnx.load(str(tmp_path / "model.onnx"))
    onnx.checker.check_model(graph, full_check=True)
    assert [item.domain for item in graph.opset_import] == [""]
    assert graph.opset_import[0].version == 17
    counts = operators(tmp_path / "model.onnx")
    assert counts["LayerNormalization"] == 7
    assert counts["Softmax"] == 3
    assert not counts["Identity"]
    session(tmp_path / "model.onnx", optimized_model_filepath=str(tmp_path / "optimized.onnx"))
    assert (
        operators(tmp_path / "optimized.onnx")["BiasGelu"] == 2
    )  # the last layer's has two dimensions: its bias goes into the product


@pytest.mark.parametrize("fused", [False, True])
def test_the_last_layer_is_computed_for_the_first_token_alone(fused, tmp_path):
    write(tiny(), tmp_path / "model.onnx", Form(fused=fused))
    graph = onnx.load(str(tmp_path / "model.onnx"))
    names = [f"layer{layer}.inner" for layer in range(3)]
    for name in names:
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(graph, str(tmp_path / "open.onnx"))
    found = session(tmp_path / "open.onnx").run(names, dict(zip(("input_ids", "token_type_ids"), inputs(3, 17))))
    assert [array.shape[:-1] for array in found] == [(3, 17), (3, 17), (3,)]


def test_openvino_reads_the_portable_and_the_quantized_graphs(tmp_path):
    openvino = pytest.importorskip("openvino")
    model, batch = tiny(), inputs(3, 17)
    scales = dict.fromkeys(writer.linear_inputs(model), 0.05)
    for form, tolerance in ((Form(), 2e-4), (Form(weights="static", scales=scales), 0.3)):
        write(model, tmp_path / "model.onnx", form)
        compiled = openvino.Core().compile_model(
            str(tmp_path / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        found = compiled(dict(zip(("input_ids", "token_type_ids"), batch)))["logits"]
        np.testing.assert_allclose(found, want(model, batch), atol=tolerance)


def test_int8_makes_everything_large_small(tmp_path):
    model = tiny(hidden=64, ffn=(200, 256, 130))
    sizes = {}
    for name, form in {"fp32": Form(), "fp16": Form(half=True), "int8": Form(weights="dynamic")}.items():
        write(model, tmp_path / "model.onnx", form)
        sizes[name] = (tmp_path / "model.onnx").stat().st_size
        if name == "int8":
            graph = onnx.load(str(tmp_path / "model.onnx")).graph
            big = {item.name for item in graph.initializer if len(item.dims) == 2 and item.data_type == 1}
            scales = {name for name in big if name.endswith(".scale")}
            # What stays in float: positions, types, the last layer's query, the head's two layers.
            assert {name.split(".", 1)[1] for name in big - scales} == {
                "embeddings.position_embeddings.weight",
                "embeddings.token_type_embeddings.weight",
                "encoder.layers.2.self_attn.q_proj.weight",
                "pooler.dense.weight",
                "weight",
            }
    assert sizes["fp16"] < 0.55 * sizes["fp32"]
    assert sizes["int8"] < 0.45 * sizes["fp32"]


@pytest.mark.parametrize("wide", [(), ("layer1.sum1",)])
def test_beside_its_int8_products_the_half_graph_has_nothing_in_float32(wide, tmp_path):
    """TensorRT-RTX has no float32 products on Turing; a norm that is wide has its casts."""
    model = tiny()
    scales = dict.fromkeys(writer.linear_inputs(model), 0.05)
    graphs = {}
    for half in (False, True):
        write(
            model, tmp_path / "model.onnx",
            Form(weights="static", half=half, scales=scales, wide_norms=frozenset(wide if half else ())),
        )  # fmt: skip
        graphs[half] = onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / "model.onnx")), strict_mode=True)
    built, graph = graphs[True], graphs[True].graph
    assert [each.version for each in built.opset_import] == [19]
    types = {item.name: item.type.tensor_type.elem_type for item in [*graph.value_info, *graph.output]}
    types |= {item.name: item.data_type for item in graph.initializer}
    floats = [name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT]
    makers = {name: node.op_type for node in graph.node for name in node.output}
    allowed = {"logits", *wide} if wide else {"logits"}
    norm = {"layer1.sum1": "encoder.layers.1.norm1"}
    for name in set(floats) - allowed:
        is_norms = any(norm[place] in name for place in wide)
        assert is_norms or (wide and makers.get(name) in ("Cast", "LayerNormalization")), name
    assert len(floats) == 1 + len(wide) * 6
    kinds = [collections.Counter(node.op_type for node in each.graph.node) for each in graphs.values()]
    for kind in ("QuantizeLinear", "DequantizeLinear", "MatMul", "LayerNormalization"):
        assert kinds[0][kind] == kinds[1][kind], kind


def test_scales_that_float16_does_not_hold_are_never_zero():
    weight = (np.random.default_rng(0).normal(size=(40, 3)) * [1e-9, 1e-3, 1]).astype("f4")
    values, scales = quantize(weight, axis=0, most=64, stored=np.float16)
    assert (scales == scales.astype("f2").astype("f4")).all()
    assert (scales > 0).all()
    assert (values[:, 0] == 0).all()
    assert (np.abs(values).max(axis=0)[1:] >= 63).all()
    assert (np.abs(values * scales - weight) <= scales * 0.55)[:, 1:].all()


def test_quantize_keeps_each_columns_resolution():
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(40, 6)) * [1e-4, 1e-2, 1, 10, 1000, 0]).astype("f4")
    values, scales = quantize(weight, axis=0)
    assert values.dtype == np.int8
    assert scales.shape == (1, 6)
    assert np.isfinite(scales).all()
    assert (np.abs(values).max(axis=0) == [127, 127, 127, 127, 127, 0]).all()
    assert (np.abs(values * scales - weight) <= scales / 2 * 1.001).all()
    _, one = quantize(weight, axis=0, per_channel=False)
    assert one.shape == (1, 1)


def test_what_cannot_be_written_says_why():
    assert writer.obstacle(tiny()) is None
    assert "activation is tanh" in writer.obstacle(build(hidden_act="tanh"))
