"""An export that compiles engines in the same go: what is written for them, and that a bad one leaves nothing."""

import sys
from functools import partial

import numpy as np
import paddle
import pytest

from helpers import fake_tensorrt
from helpers.fake_gpu import install
from helpers.fake_tensorrt import Network
from helpers.models import build, randomise
from ofa_bert.bundle.entries import HALF_STATIC
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.engines.job import EngineOptions
from ofa_bert.engines.plan import engine_plan
from ofa_bert.errors import RunError, UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.checks import Data
from ofa_bert.export.job import ExportJob
from ofa_bert.models.record import ModelRecord
from ofa_bert.tasks.task import Task

TASK = Task("topic", ("a", "b", "c"), ("accuracy",), ("text",))
DATA = ["--task_name", "demo"]


class Words:
    def save_pretrained(self, directory):
        pass


@pytest.fixture(scope="module")
def model():
    made = build("bert", layers=2, hidden=32)
    made.eval()
    return randomise(made, seed=3)


def data():
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 40, 9) for _ in range(24)]
    rows = Encoded(ids, [np.zeros_like(row) for row in ids], np.zeros(24, "int64"))
    return Data(TASK, rows, {"dev": rows})


def use(monkeypatch, **about):
    made = fake_tensorrt.module(**about)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", made)
    return made


class Networks:
    """The stand-in's networks in turn: it does not read the file."""

    def __init__(self, *kinds):
        self.left = [partial(Network, hidden=32, labels=3, **kind) for kind in kinds]

    def __call__(self):
        return self.left.pop(0)()


def job_of(*words):
    line = ["--model_name_or_path", "net", "--sub_model_output_dir", "o", "--static_sub_model", "s", *words]
    return parse(ExportJob, line, "about", "example", command="export")


@pytest.mark.parametrize(
    ("words", "compiled", "extra"),
    [
        ([], (), ()),
        (["--precision", "fp16"], (), ()),
        (["--engine", "rtx"], ("fp32",), ()),
        (["--engine", "rtx", "--precision", "bf16", "int8"], ("fp32",), ()),
        (["--engine", "rtx", "--precision", "fp32", "fp16"], ("fp16",), ()),
        (["--engine", "rtx", "--precision", "int8-static", "fp16", *DATA], ("fp16", "int8-static"), (HALF_STATIC,)),
        (["--engine", "rtx", "--precision", "int8-static-fp16", *DATA], ("int8-static",), ()),
        (["--precision", "int8-static", *DATA], (), ()),
    ],
)  # fmt: skip
def test_what_is_compiled_and_written(words, compiled, extra):
    job = job_of(*words)
    assert job.compiled == compiled
    assert job.written == (*job.precision, *extra)


def test_engines_of_every_precision_are_in_the_bundle(model, tmp_path, monkeypatch):
    made = use(monkeypatch, network=Networks({}, {"quantized": True}))
    options = EngineOptions(engine="rtx", engine_batch=(1, 2, 4), engine_compute_capability=("7.5", "8.9"))
    plan = engine_plan(options, ("fp16", "int8-static"), 24)
    export_bundle(
        model, Words(), ModelRecord(), tmp_path / "b", 24, precisions=("fp16", "int8-static-fp16"), data=data(),
        max_drop=100, engines=plan,
    )  # fmt: skip
    manifest = open_bundle(tmp_path / "b").manifest
    found = [(entry.precision, entry.compute_capability, entry.source, entry.batch) for entry in manifest.engines]
    assert found == [
        ("fp16", "7.5", "model.fp16.onnx", (1, 2, 4)),
        ("fp16", "8.9", "model.fp16.onnx", (1, 2, 4)),
        ("int8-static", "7.5", "model.int8-static-fp16.onnx", (1, 2, 4)),
        ("int8-static", "8.9", "model.int8-static-fp16.onnx", (1, 2, 4)),
    ]
    assert all(entry.length == (1, 24, 24) and entry.state == "built, not run" for entry in manifest.engines)
    assert len(made.configs) == 4


@pytest.mark.parametrize("wrong", ["network", "compiler", "logits"])
def test_an_engine_that_fails_leaves_nothing(model, tmp_path, monkeypatch, wrong):
    kind = {"dtype": "FLOAT"} if wrong == "network" else {}
    about = {"fails": "no kernel"} if wrong == "compiler" else {}
    # On this GPU the stand-in's engine answers what no model of Paddle's does.
    _, made = install(monkeypatch, network=Networks(kind), **about)
    plan = engine_plan(EngineOptions(engine="rtx", engine_compute_capability=("8.6",)), ("fp16",), 24)
    made.off = 100.0
    with pytest.raises(RunError, match={"network": "multiplies FLOAT", "compiler": "no kernel"}.get(wrong, "logits")):
        export_bundle(model, Words(), ModelRecord(), tmp_path / "b", 24, onnx=True, precisions=("fp16",), engines=plan)
    assert not (tmp_path / "b").exists()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_an_export_without_engines_asks_no_library(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    assert engine_plan(EngineOptions(), ("fp16",), 24) is None
    manifest = export_bundle(model, Words(), ModelRecord(), tmp_path / "b", 24)
    assert manifest.engines == ()
    assert paddle.in_dynamic_mode()


def test_what_the_plan_refuses(monkeypatch):
    use(monkeypatch)
    for options, message in (
        (
            EngineOptions(engine="rtx", engine_compute_capability=("9.0",)),
            "`engine_compute_capability` 9.0: TensorRT-RTX",
        ),
        (
            EngineOptions(engine="rtx", engine_compute_capability=("7.5",)),
            "ask for `precision` fp16 or int8-static too",
        ),
        (
            EngineOptions(engine="rtx", engine_length=(1, 2, 25)),
            "`engine_length` 25: the bundle was exported for up to",
        ),
        (EngineOptions(engine="tensorrt"), "NVIDIA's package does not load"),
    ):
        with pytest.raises(UserError, match=message):
            engine_plan(options, ("fp32",), 24)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.module("11.4.0", gpu=False))
    with pytest.raises(UserError, match="finds none here"):
        engine_plan(EngineOptions(engine="tensorrt"), ("fp16",), 24)
