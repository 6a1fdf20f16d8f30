"""Every precision is written, measured and judged; one that loses too much, or answers at random, leaves nothing."""

import numpy as np
import onnx
import paddle
import pytest

from helpers.models import build, randomise
from helpers.paths import SHARED
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.errors import RunError, UserError
from ofa_bert.export import calibration, paddle_int8, variants
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.calibration import ActivationSample, best_scale, choose_scales, observe
from ofa_bert.export.checks import Data, ExportCheck
from ofa_bert.export.job import ExportJob
from ofa_bert.export.onnx import writer
from ofa_bert.export.onnx.form import FACTOR_LIMIT, Form, quantize
from ofa_bert.export.onnx.writer import write
from ofa_bert.models import encoder
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ModelRecord
from ofa_bert.runtime.opening import open_model
from ofa_bert.system.machine import has_vnni
from ofa_bert.tasks.task import Task

TASK = Task("topic", ("a", "b", "c"), ("accuracy",), ("text",))
PADDLE2 = paddle.__version__.startswith("2.")
PORTABLE = Form()
PADDLE_INT8 = PADDLE2 and has_vnni()
STATIC = ["paddle-int8-static"] if PADDLE_INT8 else []


def tiny(model_type="bert", heads=(1, 4, 3), ffn=(10, 64, 33), hidden=32, **config):
    model = build(model_type, layers=3, hidden=hidden, **config)
    if heads:
        encoder.resize(model, heads, ffn)
    model.eval()
    return randomise(model, seed=7)


def encoded(count, seed, labels=None):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(5, 40, rng.integers(4, 20)) for _ in range(count)]
    types = [np.zeros_like(row) for row in ids]
    return Encoded(ids, types, np.zeros(count, "int64") if labels is None else labels)


def data_for(model):
    """Sentences whose labels are what the model answers: it scores 1."""
    dev = encoded(60, 1)
    with paddle.no_grad():
        answers = [int(model(paddle.to_tensor(row[None])).numpy().argmax()) for row in dev.input_ids]
    return Data(TASK, encoded(48, 2), {"dev": encoded(60, 1, np.asarray(answers))})


class Words:
    """Stands in for a tokenizer."""

    def save_pretrained(self, directory):
        pass


def export(model, directory, *precisions, **more):
    return export_bundle(model, Words(), ModelRecord(), directory, 24, precisions=precisions, **more)


@pytest.mark.slow(but="uneven-bert")
@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize(("heads", "ffn"), [((1, 4, 3), (10, 64, 33)), (None, None)], ids=["uneven", "square"])
def test_all_precisions_at_once(model_type, heads, ffn, tmp_path):
    # "square": heads are not cut, and Paddle's oneDNN passes would take such weights along the wrong axis.
    model = tiny(model_type, heads, ffn)
    data = data_for(model)
    manifest = export(
        model, tmp_path / "b", "fp16", "int8", "int8-static", "int8-static-fp16", onnx=True, fused=True, data=data,
        max_drop=20.0,
    )  # fmt: skip
    names = [entry.name for entry in manifest.models]
    onnx_names = ["onnx-fp32", "onnx-fp32-fused", "onnx-fp16", "onnx-fp16-fused", "onnx-int8"]
    assert names == ["paddle-fp32", *onnx_names, *STATIC, "onnx-int8-static", "onnx-int8-static-fp16"]
    by_name = {entry.name: entry for entry in manifest.models}
    for name, limit in {
        "onnx-fp32-fused": 1e-5,
        "onnx-fp16": 0.01,
        "onnx-int8": 0.15,
        "onnx-int8-static": 0.25,
        "onnx-int8-static-fp16": 0.25,
    }.items():
        assert by_name[name].check.relative_difference < limit, name
    for name in STATIC:
        # One value in each stretch of a weight is moved, and here a stretch has as few as 8.
        assert by_name[name].check.relative_difference < 0.45
    for entry in manifest.models:
        assert entry.check.score_before == 1.0
        assert entry.check.score_after >= 0.8
        assert entry.seconds > 0
        assert entry.bytes == sum((tmp_path / "b" / name).stat().st_size for name in entry.files)
        files = open_bundle(tmp_path / "b").model_files(entry.format, entry.precision, fused=entry.fused)
        assert [str(path.relative_to(tmp_path / "b")) for path in files] == list(entry.files)
    assert manifest.tokenizer.file is None  # Words has no vocabulary


class Uneven(paddle.nn.Layer):
    """A linear layer as it would go to PaddleSlim without the cure."""

    def __init__(self, linear, rows):
        super().__init__()
        self.product = linear

    def forward(self, x):
        return self.product(x)


@pytest.mark.skipif(not PADDLE_INT8, reason="PaddleSlim quantizes static models of Paddle 2, oneDNN's INT8 wants VNNI")
def test_paddle_runs_the_quantized_model_as_it_was_calibrated(tmp_path, monkeypatch):
    # Heads are not cut: square weights, whose scales Paddle's oneDNN passes apply along the wrong axis.
    model = tiny(heads=None, hidden=128, ffn=256)
    batch = (np.random.default_rng(5).integers(5, 40, (12, 15)), np.zeros((12, 15), "int64"))

    def difference():
        export(model, tmp_path / "b", "int8-static", data=data_for(model), max_drop=100.0)
        found = open_model(tmp_path / "b", "paddle_inference", "int8-static").run(*batch)
        wanted = open_model(tmp_path / "b", "onnx_runtime", "int8-static").run(*batch)
        return float(np.abs(found - wanted).mean() / wanted.std(axis=0).mean())

    cured = difference()
    assert cured < 0.25
    assert paddle.in_dynamic_mode()
    monkeypatch.setattr("ofa_bert.export.checks.RELATIVE", {})
    monkeypatch.setattr(paddle_int8, "_EvenLinear", Uneven)
    assert difference() > 2 * cured


def test_bf16_is_the_fp32_file_in_openvino(tmp_path):
    pytest.importorskip("openvino")
    try:
        manifest = export(tiny(), tmp_path / "b", "bf16")
    except UserError as error:
        pytest.skip(str(error))
    assert [entry.name for entry in manifest.models] == ["paddle-fp32", "onnx-fp32"]
    (entry,) = manifest.computed
    assert entry.files == ("model.onnx",)
    assert entry.check.checked_with == "openvino"
    assert entry.check.score_after is None


def test_without_data_only_logits_are_compared(tmp_path):
    manifest = export(tiny(), tmp_path / "b", "int8")
    assert [entry.name for entry in manifest.models] == ["paddle-fp32", "onnx-int8"]
    assert all(entry.check.score_before is None for entry in manifest.models)
    with pytest.raises(UserError, match="`precision` int8-static: is calibrated on training sentences"):
        export(tiny(), tmp_path / "c", "int8-static")
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_a_score_that_falls_fails_the_command(tmp_path, monkeypatch):
    model = tiny()
    data = data_for(model)
    most = int(np.bincount(data.dev["dev"].labels, minlength=3).argmax())
    real = writer.write

    def forgetful(model, target, form=PORTABLE):
        real(model, target, form)
        if form.weights == "dynamic":  # a head that never gives the most frequent answer
            graph = onnx.load(str(target))
            item = next(i for i in graph.graph.initializer if i.name == "classifier.bias")
            item.CopyFrom(onnx.numpy_helper.from_array(-99 * np.eye(3, dtype="f4")[most], item.name))
            onnx.save(graph, str(target))

    monkeypatch.setattr(writer, "write", forgetful)
    monkeypatch.setattr("ofa_bert.export.checks.RELATIVE", {})
    with pytest.raises(
        RunError, match=r"onnx-int8: accuracy on dev falls by [\d.]+ points, .* `max_drop` allows 1\. Try"
    ):
        export(model, tmp_path / "b", "int8", data=data)
    assert list(tmp_path.iterdir()) == []
    assert export(model, tmp_path / "b", "int8", data=data, max_drop=100.0).max_drop == 100.0


def test_random_answers_fail_without_data_too(tmp_path, monkeypatch):
    real = writer.write

    def broken(model, target, form=PORTABLE):
        real(model, target, form)
        if form.weights == "dynamic":
            graph = onnx.load(str(target))
            for item in graph.graph.initializer:
                if item.name.endswith("qkv_proj.weight"):
                    item.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(item)[::-1], item.name))
            onnx.save(graph, str(target))

    monkeypatch.setattr(writer, "write", broken)
    with pytest.raises(RunError, match="onnx-int8: the logits differ .* of their spread, allowed are 50%"):
        export(tiny(), tmp_path / "b", "int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_fp16_keeps_large_sums_in_fp32_and_refuses_the_rest(tmp_path, monkeypatch):
    model = tiny()
    layer = encoder.encoder_layers(model)[1]
    layer.linear2.weight.set_value(layer.linear2.weight * 5000)  # the LayerNorm behind it divides it away again
    manifest = export(model, tmp_path / "b", "fp16", fused=True)
    for name in ("model.fp16.onnx", "model.fp16.fused.onnx"):
        nodes = onnx.load(str(tmp_path / "b" / name)).graph.node
        casts = [node for node in nodes if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT]
        assert len(casts) == 3  # two into the one LayerNorm, and the logits
    assert all(entry.check.relative_difference < 0.05 for entry in manifest.models)
    layer.linear1.weight.set_value(layer.linear1.weight * 100_000)
    with pytest.raises(RunError, match=r"onnx-fp16: layer1\.inner reaches \d+, too near to 65504 .* `precision` bf16"):
        export(model, tmp_path / "c", "fp16")


def test_fp16_keeps_what_could_overflow_when_squared_in_fp32_where_kernels_differ(tmp_path):
    """A LayerNorm's variance: ONNX Runtime's kernels, which alone run fused graphs, compute it in float32."""
    model = tiny()
    layer = encoder.encoder_layers(model)[1]
    layer.linear2.weight.set_value(layer.linear2.weight * 200)
    export(model, tmp_path / "b", "fp16", fused=True)
    for name, wide in (("model.fp16.onnx", 3), ("model.fp16.fused.onnx", 1)):
        nodes = onnx.load(str(tmp_path / "b" / name)).graph.node
        casts = [node for node in nodes if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT]
        assert len(casts) == wide  # of them the logits


def test_what_the_writer_cannot_express_is_fp32_only(tmp_path):
    model = build(hidden_act="tanh", layers=2)
    assert len(export(model, tmp_path / "b", "fp32", onnx=True).models) == 2
    with pytest.raises(UserError, match="onnx-int8: cannot be written for this model: its activation is tanh"):
        export(model, tmp_path / "c", "int8")


@pytest.mark.parametrize("paddle_version", ["3.3.1"])
def test_paddle_3_writes_the_onnx_model_and_says_why_not_the_other(paddle_version, monkeypatch, caplog):
    monkeypatch.setattr(paddle_int8, "has_vnni", lambda: True)
    monkeypatch.setattr(paddle_int8.paddle, "__version__", paddle_version)
    with caplog.at_level("WARNING", logger="ofa_bert.export.variants"):
        assert variants.plan(["int8-static"], onnx=False, fused=False) == ["paddle-fp32", "onnx-int8-static"]
    assert "paddle-int8-static is left out: PaddleSlim 2.6 quantizes static models of Paddle 2" in caplog.text


def test_without_vnni_paddles_int8_is_left_out_with_the_reason(monkeypatch, caplog):
    monkeypatch.setattr(paddle_int8.paddle, "__version__", "2.6.2")
    for here, names in ((False, ["onnx-int8-static"]), (True, ["paddle-int8-static", "onnx-int8-static"])):
        monkeypatch.setattr(paddle_int8, "has_vnni", lambda here=here: here)
        with caplog.at_level("WARNING", logger="ofa_bert.export.variants"):
            assert variants.plan(["int8-static"], onnx=False, fused=False) == ["paddle-fp32", *names]
    assert caplog.text.count("this processor has no VNNI instructions") == 1


@pytest.mark.parametrize("weights", ["dynamic", "static"])
def test_two_products_of_int8_fit_in_16_bits(tmp_path, weights):
    model = tiny()
    scales = dict.fromkeys(writer.linear_inputs(model), 0.05) if weights == "static" else {}
    write(model, tmp_path / "model.onnx", Form(weights, scales=scales))
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    factors = [onnx.numpy_helper.to_array(item) for item in graph.initializer if item.name.endswith("weight")]
    factors = [array for array in factors if array.dtype == np.int8 and len(array) < model.config.vocab_size]
    assert len(factors) >= 3 * 3
    largest = max(int(np.abs(array.astype(int)).max()) for array in factors)
    assert 255 * 2 * largest < 2**15
    assert largest == 64


def test_scales_are_those_of_a_brute_force_search():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 12)).astype("f4")
    rows[3] *= 40  # a token like [CLS]: relative to its own output, it must not decide for the others
    weight = rng.normal(size=(12, 5)).astype("f4")
    peak = float(np.abs(rows).max())
    chosen = best_scale(rows, peak, weight)
    assert chosen < peak / 127 / 3
    quantized, steps = quantize(weight, axis=0, most=FACTOR_LIMIT)

    def error(scale):
        coarse = np.clip(np.rint(rows / scale), -127, 127) * scale
        wanted = rows @ weight
        return ((coarse @ (quantized * steps) - wanted) ** 2).sum(1) / (wanted**2).sum(1)

    clips = calibration._CLIPS
    assert error(chosen).mean() == pytest.approx(min(error(peak * clip / 127).mean() for clip in clips))
    assert np.isfinite(best_scale(np.zeros((4, 12), "f4"), 0.0, weight))


def test_traffic_sees_every_token_once_and_no_padding(tmp_path, monkeypatch):
    model = tiny()
    write(model, tmp_path / "model.onnx")
    data = Data(TASK, encoded(48, 2), {})
    judge = ExportCheck(model, [(np.asarray([[5, 6]]), np.asarray([[0, 0]]))], 1e-4, TASK, data)
    tokens = sum(map(len, data.calibration.input_ids))
    few = observe(model, tmp_path / "model.onnx", judge.batches())
    # The last layer is computed for the first token of each sentence.
    there = {name: tokens for name in few.rows}
    there |= {f"layer2.{part}": len(data.calibration.input_ids) for part in ("context", "attended", "inner")}
    assert all(len(rows) == min(there[name], calibration.ROWS) for name, rows in few.rows.items())
    assert set(few.rows) == set(writer.linear_inputs(model))
    monkeypatch.setattr(calibration, "ROWS", 4096)
    every = observe(model, tmp_path / "model.onnx", judge.batches())
    for name, rows in every.rows.items():
        assert len(rows) == there[name]
        assert every.peaks[name] == few.peaks[name] == np.abs(rows).max()
    scales = choose_scales(model, ActivationSample(every.rows, every.peaks))
    assert set(scales) == set(every.rows)
    assert min(scales.values()) > 0


def test_even_weights_reach_one_along_both_ways():
    weight = np.random.default_rng(0).normal(size=(12, 8)).astype("f4")
    weight /= np.abs(weight).max(axis=0)
    even = paddle_int8.even(weight, np.ones_like(weight))
    assert (np.abs(even).max(axis=0) == 1).all()
    assert (np.abs(even).reshape(8, 12).max(axis=1) == 1).all()
    changed = even != weight
    assert changed.sum() <= 8
    assert (np.abs(weight[changed]) > 0.3).all()
    unfelt = np.ones_like(weight)
    unfelt.reshape(8, 12)[:, 5] = 0
    changed = paddle_int8.even(weight, unfelt) != weight
    assert set(np.nonzero(changed.reshape(8, 12))[1]) == {5}


COMMON = ["--model_name_or_path", "m", "--sub_model_output_dir", "d"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--precision", "int8"], "--precision needs --static_sub_model"),
        (["--fused"], "--fused needs --static_sub_model"),
        (["--static_sub_model", "s", "--precision", "int4"], "--precision int4: must be one of fp32, fp16, bf16, int8"),
        (["--static_sub_model", "s", "--precision", "int8-static"], "int8-static is calibrated on training sentences"),
        (["--train_file", "x"], "--train_file needs --dev_file, or --dev_share"),
        (["--max_drop", "-1"], "--max_drop -1.0: must be at least 0"),
        (["--calibration_sentences", "0"], "--calibration_sentences 0: must be above 0"),
    ],
)
def test_flags_that_cannot_work_are_named(flags, message):
    with pytest.raises(UserError, match=message):
        parse(ExportJob, [*COMMON, *flags], "export_model.py")


def test_data_dir_needs_no_task_name():
    assert parse(ExportJob, [*COMMON, "--data_dir", "x"], "export_model.py").data.given
    assert not parse(ExportJob, COMMON, "export_model.py").data.given


def real_files():
    source = SHARED / "models" / "gte-small"
    directory = SHARED / "data" / "glue" / "MRPC"
    if not (source.is_dir() and directory.is_dir()):
        pytest.skip("no real model and data here")
    return source, directory


def last_states(path, batches, layers):
    """The last hidden states of the first tokens, behind each other."""
    import onnxruntime

    graph = onnx.load(str(path))
    last = f"layer{layers}.states"
    graph.graph.output.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = [{"input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids} for batch in batches]
    return np.concatenate([session.run([last], feed)[0] for feed in feeds])


@pytest.mark.slow
def test_per_channel_weights_on_a_real_model(tmp_path):
    """The negative control: one scale for a whole weight costs much of the accuracy."""
    from ofa_bert.data.sources import load_datasets
    from ofa_bert.models.directories import load_model
    from ofa_bert.models.supernet import extract
    from ofa_bert.submodels.values import uniform

    source, directory = real_files()
    model, tokenizer, _ = load_model(source, num_labels=2)
    small = extract(model, uniform(encoder.shape_of(model), 2 / 3, range(6)))
    sentences = load_datasets("MRPC", directory).train[:32]
    data = Data(TASK, encode(sentences, tokenizer, 64, False), {})
    batches = ExportCheck(small, [(np.asarray([[5]]), np.asarray([[0]]))], 1e-4, data.task, data).batches()
    write(small, tmp_path / "model.onnx")
    wanted = last_states(tmp_path / "model.onnx", batches, 6)
    scales = choose_scales(small, observe(small, tmp_path / "model.onnx", batches))
    error = {}
    for weights in ("dynamic", "static"):
        for per_channel in (True, False):
            write(small, tmp_path / "model.onnx", Form(weights=weights, scales=scales, per_channel=per_channel))
            found = last_states(tmp_path / "model.onnx", batches, 6)
            error[weights, per_channel] = float(np.abs(found - wanted).mean() / wanted.std())
    assert error["dynamic", True] < 0.12, error
    assert error["static", True] < 0.12, error
    assert error["dynamic", False] > 2 * error["dynamic", True], error
    assert error["static", False] > 2 * error["static", True], error
