"""The engine command on a machine with the GPU: what is run, what the manifest says of it, what is refused."""

import json
import sys
from functools import partial

import numpy as np
import pytest

from helpers.fake_gpu import install
from helpers.fake_tensorrt import Network
from helpers.full_manifest import SHAPE, TASK
from helpers.handmade_bundle import change_manifest, make_bundle
from ofa_bert import __main__ as program
from ofa_bert.bundle.engine_entry import EngineCheck
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.engines import trial
from ofa_bert.errors import UserError
from ofa_bert.runtime import Predictor
from ofa_bert.runtime.backends.tensorrt import Profile

pytest.importorskip("onnxruntime", reason="engines are compared with ONNX Runtime, which is not installed")
SUB_MODEL = {"layers": [0, 3], "heads": [3, 2], "ffn": [40, 10]}
MODELS = [("onnx-fp16", "onnx", "fp16", "model.fp16.onnx"),
          ("onnx-int8-static", "onnx", "int8-static", "model.int8-static.onnx")]  # fmt: skip
KIND = {"fp32": {"dtype": "FLOAT"}, "fp16": {}, "int8-static": {"dtype": "FLOAT", "quantized": True}}
LAYERS = {
    "fp32": [["a", "Float"], ["b", "Float"]],
    "fp16": [["a", "Half"], ["b", "Row major linear FP16 format"], ["c", "Float"]],
    "int8-static": [["a", "Int8"], ["b", "Float"]],
}


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(
        tmp_path / "b", labels=["a", "b"], limit=32, models=MODELS, shape=SHAPE, sub_model=SUB_MODEL, task=TASK
    )


def machine(monkeypatch, precision="fp32", runtime="rtx", off=0.0, layers=None, **about):
    device, made = install(monkeypatch, runtime, network=partial(Network, **KIND[precision]), **about)
    made.off, made.layers = off, LAYERS[precision] if layers is None else layers
    return device, made


def engine(bundle, precision, *words):
    return program.main(["engine", "--bundle", str(bundle), "--precision", precision, *words])


@pytest.mark.parametrize("precision", KIND)
def test_an_engine_for_this_gpu_is_run_and_the_others_are_not(bundle, precision, monkeypatch, capsys):
    device, _ = machine(monkeypatch, precision)
    assert engine(bundle, precision, "--compute_capability", "8.9", "8.6") == 0
    other, own = open_bundle(bundle).manifest.engines
    assert (other.state, other.check, own.state) == ("built, not run", None, "run")
    assert own.check.max_abs_difference <= 1e-5
    assert own.check.checked_with == "onnx_runtime"
    assert (own.check.tolerance, own.check.relative_tolerance) == {
        "fp32": (1e-4, None), "fp16": (None, 0.05), "int8-static": (None, 0.5)
    }[precision]  # fmt: skip
    assert own.check.types == {
        "fp32": {"fp32": 2}, "fp16": {"fp16": 2, "fp32": 1}, "int8-static": {"int8": 1, "fp32": 1}
    }[precision]  # fmt: skip
    assert device.left == []
    told = capsys.readouterr().out
    assert "| run, logits within " in told
    assert "| built, not run" in told


def test_tensorrt_on_the_machine_that_it_compiles_for(bundle, monkeypatch):
    machine(monkeypatch, "fp16", "tensorrt", gpu="9.0", version="11.4.0.106")
    assert engine(bundle, "fp16", "--runtime", "tensorrt") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert (entry.compute_capability, entry.state) == ("9.0", "run")
    with Predictor(bundle, precision="fp16", provider="tensorrt") as predictor:
        assert predictor._model.name == "tensorrt_engine"


@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("off", [3.0, float("nan")])
def test_wrong_logits_are_refused_and_nothing_is_added(bundle, precision, off, monkeypatch, capsys):
    device, _ = machine(monkeypatch, precision, off=off)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert engine(bundle, precision, "--compute_capability", "8.6") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the engine for 8.6: TensorRT-RTX answers otherwise than onnx_runtime with the same file: logits" in error
    assert error.endswith("It was not added")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert device.left == []


def test_a_difference_that_other_types_may_have_is_too_much_for_fp32(bundle, monkeypatch, capsys):
    machine(monkeypatch, "fp16", off=0.001)
    assert engine(bundle, "fp16", "--compute_capability", "8.6") == 0
    machine(monkeypatch, "fp32", off=0.001)
    assert engine(bundle, "fp32", "--compute_capability", "8.6") == 1
    assert "logits differ by 0.001, allowed are 0.0001" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "layer", "said"),
    [("fp32", "Half", "write fp16, which its file in fp32"), ("fp16", "Int8", "write int8"),
     ("fp32", "BFloat16", "write bf16")],
)  # fmt: skip
def test_layers_in_a_coarser_type_than_the_files(bundle, precision, layer, said, monkeypatch, capsys):
    machine(monkeypatch, precision, layers=[["a", "Float"], ["b", layer]])
    assert engine(bundle, precision, "--compute_capability", "8.6") == 1
    assert f"1 of its layers {said}" in capsys.readouterr().err
    assert open_bundle(bundle).manifest.engines == ()


@pytest.mark.parametrize("layers", [[["whole", None]], []])
def test_an_inspector_that_names_no_types(bundle, layers, monkeypatch):
    machine(monkeypatch, "fp32", layers=layers)
    assert engine(bundle, "fp32", "--compute_capability", "8.6") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert (entry.state, entry.check.types) == ("run", {})


@pytest.mark.parametrize(
    "told", ["no JSON", "[]", '{"Layers": 3}', '{"Layers": [{"Outputs": [7]}, {"Outputs": null}]}']
)
def test_an_inspector_that_says_something_else(told):
    class Engine:
        def create_engine_inspector(self):
            return self

        def get_engine_information(self, format):
            return told

    class Library:
        class module:  # noqa: N801 - as the field is called
            class LayerInformationFormat:
                JSON = 1

        name = "TensorRT"

    assert trial.layer_types(Library, Engine()) == {}


def test_without_cuda_python_it_stays_built(bundle, monkeypatch, capsys):
    machine(monkeypatch)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert engine(bundle, "fp32", "--compute_capability", "8.6") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert entry.state == "built, not run"
    said = capsys.readouterr().err
    assert "the engine for 8.6 is not tried on this GPU: " in said
    assert "pip install cuda-python" in said


def test_an_engine_that_does_not_open_is_not_added(bundle, monkeypatch, capsys):
    _, made = machine(monkeypatch)
    monkeypatch.setattr(made, "__version__", "1.8.0")  # the builder's stand-in still writes 1.7.1.116
    assert engine(bundle, "fp32", "--compute_capability", "8.6") == 1
    assert "does not open it: version of the engine is 1.7.1.116, not 1.8.0" in capsys.readouterr().err
    assert open_bundle(bundle).manifest.engines == ()


def test_what_is_run_lies_within_the_profile_and_differs_from_row_to_row(bundle):
    manifest, profile = open_bundle(bundle).manifest, Profile((2, 4, 32), (3, 5, 32))
    shapes = set()
    for ids, types in trial._batches(manifest, profile):
        assert ids.shape == types.shape
        assert 2 <= len(ids) <= 32
        assert 3 <= ids.shape[1] <= 32
        assert ids.max() < SHAPE["vocab_size"]
        assert len(np.unique((ids == manifest.pad_token_id).sum(1))) > 1 or len(ids) < 3
        shapes.add(ids.shape)
    assert shapes == {(2, 3), (8, 5), (8, 32), (32, 3)}


def test_a_manifest_that_says_run_says_what_was_found(bundle, monkeypatch):
    machine(monkeypatch)
    assert engine(bundle, "fp32", "--compute_capability", "8.6") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert isinstance(entry.check, EngineCheck)
    (about,) = json.loads((bundle / "manifest.json").read_text())["engines"]
    for wrong, said in (
        ({"check": {**about["check"], "max_abs_difference": -1}}, "max_abs_difference"),
        ({"check": {**about["check"], "types": {"fp16": 0}}}, "fp16"),
        ({"check": None}, "check"),
        ({"state": "walked"}, "must be one of built, not run, run"),
    ):
        change_manifest(bundle, engines=[{**about, **wrong}])
        with pytest.raises(UserError, match=said) as caught:
            open_bundle(bundle)
        assert "\n" not in str(caught.value)
