"""A bundle's own engine in a Predictor: which one is opened, and the one line where none can be."""

import gc
import logging

import numpy as np
import pytest

from helpers import fake_cuda
from helpers.fake_gpu import add_engine, install
from helpers.handmade_bundle import make_bundle
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime import Predictor
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.opening import open_model

TEXTS = ["a good film", "dull", "the plot was bad and the film was long", "good"] * 9


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "b")


@pytest.mark.parametrize(("runtime", "provider"), [("rtx", "tensorrt_rtx"), ("tensorrt", "tensorrt")])
def test_predictions_are_onnx_runtimes(bundle, runtime, provider, monkeypatch):
    version = {"rtx": "1.7.1.116", "tensorrt": "11.4.0.106"}[runtime]
    device, _ = install(monkeypatch, runtime, version=version)
    add_engine(bundle, runtime=runtime, version=version)
    with Predictor(bundle, "onnx_runtime", threads=1) as plain:
        wanted = plain.logits(TEXTS)
    with Predictor(bundle, provider=provider) as predictor:
        assert predictor._model.name == "tensorrt_engine"
        assert (predictor._model.device, predictor._model.provider) == ("gpu:0", provider)
        for _ in range(3):
            np.testing.assert_allclose(predictor.logits(TEXTS), wanted, rtol=1e-5, atol=1e-5)
        assert device.left
    assert device.left == []
    with pytest.raises(UserError, match="this Predictor is closed"):
        predictor.predict(["good"])
    kernels = bundle / "engines" / "e.engine.kernels"
    assert kernels.exists() == (runtime == "rtx")
    assert open_model(bundle, provider=provider).name == "tensorrt_engine"  # the manifest does not list that file


def test_a_predictor_that_is_let_go_frees_its_gpu(bundle, monkeypatch):
    device, _ = install(monkeypatch)
    add_engine(bundle)
    predictor = Predictor(bundle, provider="tensorrt_rtx")
    predictor.predict(TEXTS)
    del predictor
    gc.collect()
    assert device.left == []


@pytest.mark.parametrize("precision", ["int8", "int8-static"])
def test_int8_is_the_static_one(bundle, precision, monkeypatch):
    install(monkeypatch)
    add_engine(bundle, precision="int8-static")
    assert open_model(bundle, precision=precision, provider="tensorrt_rtx").precision == "int8-static"


def opened(module):
    return module.engines[-1].about["profiles"]


def test_which_of_several_is_taken(bundle, monkeypatch):
    _, module = install(monkeypatch)
    for name, about in {
        "other": {"gpu": "8.9"}, "older": {"version": "1.6.0"}, "short": {"length": (1, 8, 8), "batch": (1, 4, 64)},
        "half": {"precision": "fp16", "batch": (1, 4, 99)}, "small": {"batch": (1, 1, 1)},
        "wide": {"batch": (1, 4, 32)}, "long": {"batch": (1, 4, 32), "length": (1, 8, 99)},
        "theirs": {"runtime": "tensorrt", "batch": (1, 4, 99)},
    }.items():  # fmt: skip
        add_engine(bundle, name, **about)
    open_model(bundle, provider="tensorrt_rtx")
    assert opened(module) == [[[1, 1], [4, 8], [32, 16]]]
    open_model(bundle, provider="tensorrt_rtx", profile=Profile((1, 4, 8), (1, 8, 8)))
    assert opened(module) == [[[1, 1], [4, 8], [64, 8]]]
    open_model(bundle, provider="tensorrt_rtx", profile=Profile((1, 4, 8), (1, 8, 20)))
    assert opened(module) == [[[1, 1], [4, 8], [32, 99]]]
    open_model(bundle, precision="fp16", provider="tensorrt_rtx")
    assert opened(module)[0][2] == [99, 16]


def test_of_equal_ones_the_newest(bundle, monkeypatch):
    _, module = install(monkeypatch)
    for name, best in (("a", 2), ("b", 3)):
        add_engine(bundle, name, batch=(1, best, 8))
    open_model(bundle, provider="tensorrt_rtx")
    assert opened(module)[0][1] == [3, 8]


ENGINE = r"python -m ofa_bert engine `bundle` \S*b `precision` fp32 `runtime` rtx"


@pytest.mark.parametrize(
    ("engines", "machine", "message"),
    [
        ([], {}, rf"holds no engine of TensorRT-RTX in fp32; {ENGINE} compiles one$"),
        (
            [{"precision": "fp16"}, {"runtime": "tensorrt", "version": "11.4"}],
            {},
            r"holds no engine of TensorRT-RTX in fp32, only of TensorRT-RTX in fp16, TensorRT in fp32; python",
        ),
        (
            [{"gpu": "7.5"}, {"gpu": "8.9"}],
            {},
            rf"its engines are for compute capability 7.5, 8.9, this GPU has 8.6; {ENGINE} `compute_capability` 8.6$",
        ),
        (
            [{"version": "1.6.0"}, {"version": "1.5.9"}],
            {},
            r"its engine for 8.6 was compiled by TensorRT-RTX 1.6.0, 1.5.9, 1.7.1.116 is installed, .*;"
            rf" {ENGINE} `compute_capability` 8.6$",
        ),
        (
            [{"length": (1, 8, 12)}, {"length": (1, 2, 4)}],
            {},
            rf"its engine for 8.6 takes texts of up to 12 tokens, 16 are wanted; {ENGINE} `compute_capability` 8.6"
            r" `length` 1 16 16, or give a profile whose longest is 12$",
        ),
        ([{"gpu": "9.0"}], {"gpu": "9.0"}, r"compute capability 9.0 \(Hopper\); take provider tensorrt or cuda$"),
        ([{}], {"gpu": None}, "provider tensorrt_rtx: finds no NVIDIA GPU and driver"),
    ],
)
def test_why_none_fits(bundle, engines, machine, message, monkeypatch):
    install(monkeypatch, **machine)
    for number, about in enumerate(engines):
        add_engine(bundle, f"e{number}", **about)
    with pytest.raises(UserError, match=message) as caught:
        open_model(bundle, "tensorrt_engine", provider="tensorrt_rtx")
    assert "\n" not in str(caught.value)


def test_tensorrt_compiles_on_its_own_machine(bundle, monkeypatch):
    install(monkeypatch, "tensorrt", "9.0", "11.4.0.106")
    add_engine(bundle, runtime="tensorrt", gpu="8.0", version="11.4.0.106")
    with pytest.raises(UserError, match="this GPU has 9.0; .* `runtime` tensorrt on this machine$"):
        open_model(bundle, "tensorrt_engine", provider="tensorrt")


def test_without_cuda_python_or_nvidias_package(bundle, monkeypatch):
    import sys

    install(monkeypatch)
    add_engine(bundle)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(UserError, match="cuda-python, which is not installed; pip install cuda-python"):
        open_model(bundle, "tensorrt_engine", provider="tensorrt_rtx")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(UserError, match=r'tensorrt_rtx_bindings is not installed; pip install "\.\[tensorrt-rtx\]"'):
        open_model(bundle, "tensorrt_engine", provider="tensorrt_rtx")


def test_what_is_not_opened_leaves_the_model_to_the_next(bundle, monkeypatch, caplog):
    """Here the next one has no GPU either; what each of them said is in the line."""
    install(monkeypatch)
    add_engine(bundle, gpu="8.9")
    with pytest.raises(UserError, match="this GPU has 8.6.*onnxruntime_ep_nv_tensorrt_rtx"):
        open_model(bundle, provider="tensorrt_rtx")
    from ofa_bert.runtime.backends import onnx_runtime
    from ofa_bert.runtime.backends.base import Engine
    from ofa_bert.runtime.backends.registry import REGISTRY

    other = onnx_runtime.CAPABILITIES.__class__(
        **{**vars(onnx_runtime.CAPABILITIES), "load": lambda files, settings: Engine(lambda *ids: None, "logits")}
    )
    monkeypatch.setitem(REGISTRY, "onnx_runtime", other)
    with caplog.at_level(logging.INFO):
        assert open_model(bundle, provider="tensorrt_rtx").name == "onnx_runtime"
    assert "onnx_runtime is taken: " in caplog.text
    assert "this GPU has 8.6" in caplog.text


def test_a_changed_engine_is_one_clear_line(bundle, monkeypatch):
    install(monkeypatch)
    path = add_engine(bundle)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="e.engine: is not the file that was exported"):
        open_model(bundle, provider="tensorrt_rtx")


def test_a_longer_text_than_a_profile_that_was_given(bundle, monkeypatch):
    install(monkeypatch)
    add_engine(bundle, length=(1, 2, 4))
    with Predictor(bundle, provider="tensorrt_rtx", profile=Profile(length=(1, 2, 4))) as predictor:
        predictor.predict(["good"])
        with pytest.raises(RunError, match=r"e.engine: takes 1 to 4 tokens, a text has \d+; compile one"):
            predictor.predict(["a good film and a bad plot"])


def test_a_gpu_that_is_full(bundle, monkeypatch):
    device, _ = install(monkeypatch, device=fake_cuda.Device(room=100))
    add_engine(bundle)
    with Predictor(bundle, provider="tensorrt_rtx") as predictor, pytest.raises(RunError, match="out of memory"):
        predictor.predict(["good"])
    assert device.left == []


def test_engines_have_no_parts_with_exits(monkeypatch):
    from ofa_bert.runtime.backends.registry import REGISTRY

    install(monkeypatch)
    with pytest.raises(UserError, match="none of the parts of a model with exits; take another back end"):
        REGISTRY["tensorrt_engine"].load_part([], None)
    assert not any(how.parts for how in REGISTRY["tensorrt_engine"].providers.values())
