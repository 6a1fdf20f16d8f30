"""The engine command against a stand-in of NVIDIA's packages: what it checks, writes, lists and refuses."""

import json
import re
import sys
from functools import partial

import pytest

from helpers import fake_tensorrt
from helpers.fake_gpu import install
from helpers.fake_tensorrt import Network
from helpers.full_manifest import SHAPE, TASK
from helpers.handmade_bundle import make_bundle
from ofa_bert import __main__ as program
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.engines import build, library
from ofa_bert.errors import RunError
from ofa_bert.files import lock

SUB_MODEL = {"layers": [0, 3], "heads": [3, 2], "ffn": [40, 10]}
MODELS = [("onnx-fp16", "onnx", "fp16", "model.fp16.onnx"),
          ("onnx-int8-static", "onnx", "int8-static", "model.int8-static.onnx")]  # fmt: skip
HALF_STATIC = ("onnx-int8-static-fp16", "onnx", "int8-static-fp16", "model.int8-static-fp16.onnx")
KIND = {"fp32": {"dtype": "FLOAT"}, "fp16": {}, "int8-static": {"dtype": "FLOAT", "quantized": True}}


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(
        tmp_path / "b", labels=["a", "b"], limit=32, models=MODELS, shape=SHAPE, sub_model=SUB_MODEL, task=TASK
    )


def use(monkeypatch, runtime="rtx", **about):
    made = fake_tensorrt.module(**about)
    monkeypatch.setitem(sys.modules, {"rtx": "tensorrt_rtx_bindings"}.get(runtime, runtime), made)
    return made


def engine(bundle, *words):
    return program.main(["engine", "--bundle", str(bundle), *map(str, words)])


def test_an_engine_for_each_gpu_is_written_and_listed(bundle, monkeypatch, capsys):
    made = use(monkeypatch)
    files = open_bundle(bundle).manifest.files
    assert engine(bundle, "--batch", 1, 2, 8) == 0
    manifest = open_bundle(bundle).manifest  # every digest is right
    assert [entry.compute_capability for entry in manifest.engines] == ["7.5", "8.6", "8.9"]
    assert set(manifest.files) - set(files) == {entry.file for entry in manifest.engines}
    for entry, config in zip(manifest.engines, made.configs, strict=True):
        assert entry.file.startswith(f"engines/rtx-1.7.1-fp16-cc{entry.compute_capability}-b1.2.8-t1.32.32-")
        assert (entry.source, entry.version, entry.state) == ("model.fp16.onnx", "1.7.1.116", "built, not run")
        assert (entry.batch, entry.length) == ((1, 2, 8), (1, 32, 32))
        assert config.target == f"SM{entry.compute_capability.replace('.', '')}"
        assert ("without", "TF32") not in config.told
        shapes = [(1, 1), (2, 32), (8, 32)]
        assert ("profile", {name: shapes for name in ("input_ids", "token_type_ids")}) in config.told
    ((flags, _),) = made.networks  # read once
    assert flags == 1 << made.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    told = capsys.readouterr()
    assert "From onnx-fp16: each runs on a GPU of its compute capability" in told.out
    assert told.out.count("| built, not run") == 3
    assert "TensorRT-RTX 1.7.1.116 in" in told.err
    assert "compiling needs no GPU, running does" in told.out


def test_an_engine_takes_the_place_of_its_like_alone(bundle, monkeypatch):
    use(monkeypatch)
    line = ["--compute_capability", "8.6", "--batch", 1, 2, 8]
    assert engine(bundle, *line) == 0
    (first,) = open_bundle(bundle).manifest.engines
    assert engine(bundle, *line, "--length", 1, 8, 16) == 0
    assert len(open_bundle(bundle).manifest.engines) == 2
    assert engine(bundle, *line) == 0  # the same bytes under the same name
    assert len(open_bundle(bundle).manifest.engines) == 2
    monkeypatch.setattr(library, "WORKSPACE", 7)  # other bytes
    assert engine(bundle, *line) == 0
    manifest = open_bundle(bundle).manifest
    assert len(manifest.engines) == 2
    assert first.file not in manifest.files
    assert not (bundle / first.file).exists()


@pytest.mark.parametrize("precision", KIND)
def test_each_precision_has_its_file(bundle, precision, monkeypatch):
    made = use(monkeypatch, network=partial(Network, **KIND[precision]))
    assert engine(bundle, "--precision", precision, "--compute_capability", "8.6") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert entry.source == f"model.{precision}.onnx".replace("fp32.", "")
    assert (("without", "TF32") in made.configs[0].told) == (precision == "fp32")


def test_no_engine_stops_a_killed_command_from_being_repeated(bundle, monkeypatch):
    """The file is there, the manifest does not list it yet: the bundle is as whole as before."""
    use(monkeypatch)

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "write_json_atomic", killed)
    assert engine(bundle) == 130
    assert open_bundle(bundle).manifest.engines == ()
    monkeypatch.undo()
    use(monkeypatch)
    assert engine(bundle) == 0
    assert len(open_bundle(bundle).manifest.engines) == 3


def without_first_product():
    made = Network()
    made.layers.remove(next(layer for layer in made.layers if layer.type == fake_tensorrt.LayerType.MATRIX_MULTIPLY))
    return made


def with_places(name, dtype, shape):
    made = Network()
    getattr(made, name)[0] = fake_tensorrt.Tensor(getattr(made, name)[0].name, dtype, shape)
    return made


@pytest.mark.parametrize(
    ("network", "precision", "message"),
    [
        (
            partial(with_places, "inputs", "FLOAT", (-1, -1)),
            "fp16",
            r"inputs are \{'input_ids': \('FLOAT', \(-1, -1\)\)",
        ),
        (partial(with_places, "inputs", "INT64", (-1, 8)), "fp16", r"inputs are .*\(-1, 8\)"),
        (partial(with_places, "outputs", "HALF", (-1, 2)), "fp16", r"outputs are .*HALF.*must be .*'FLOAT', \(-1, 2\)"),
        (partial(Network, labels=3), "fp16", r"outputs are .*\(-1, 3\)"),
        (
            partial(Network, dtype="FLOAT"),
            "fp16",
            "MATRIX_MULTIPLY_.* multiplies FLOAT by FLOAT, in fp16 it must be HALF",
        ),
        (Network, "fp32", "multiplies HALF by HALF, in fp32 it must be FLOAT"),
        (partial(Network, dtype="FLOAT", quantized=True), "fp32", "in fp32 it must be FLOAT"),
        (partial(Network, dtype="FLOAT"), "int8-static", r"MATRIX_MULTIPLY_\d+ is not computed in int8 \(7 more"),
        (partial(Network, depth=1), "fp16", "1 softmaxes and 2 products of attention, must be 2 and 4 in 2 layers"),
        (partial(Network, inside=(24, 24)), "fp16", r"layer 1 has weights of .*\(24, 72\).*must be \[\(24, 48\)"),
        (partial(Network, ffn=(40, 11)), "fp16", r"layer 1 has weights of .*\(24, 11\).*must be .*\(24, 10\)"),
        (without_first_product, "fp16", "layer 0 has weights of"),
    ],
)
def test_another_network_than_the_manifest_says_is_not_compiled(bundle, network, precision, message, monkeypatch):
    made = use(monkeypatch, network=network)
    job = build.EngineJob(bundle=str(bundle), precision=precision, compute_capability=("8.6",))
    with pytest.raises(RunError, match=f"TensorRT reads another model than the manifest describes: .*{message}"):
        build.build_engines(job)
    assert made.configs == []
    assert open_bundle(bundle).manifest.engines == ()


def test_embeddings_of_another_size_are_projected_before_the_layers(tmp_path, monkeypatch):
    class Projected(Network):
        def __init__(self):
            super().__init__()
            own, self.layers = self.layers, []
            self.product((-1, -1, 12), (12, 24))
            self.layers += own

    use(monkeypatch, network=Projected)
    about = {"labels": ["a", "b"], "limit": 32, "models": MODELS, "sub_model": SUB_MODEL, "task": TASK}
    small = make_bundle(tmp_path / "small", shape={**SHAPE, "embedding_size": 12}, **about)
    assert engine(small, "--compute_capability", "8.6") == 0
    same = make_bundle(tmp_path / "same", shape=SHAPE, **about)
    assert engine(same, "--compute_capability", "8.6") == 1


def test_separate_projections_of_query_key_and_value(bundle, monkeypatch):
    class Separate(Network):
        def linear(self, width, out):
            for _ in range(3 if out in (72, 48) else 1):
                super().linear(width, out // 3 if out in (72, 48) else out)

    use(monkeypatch, network=Separate)
    assert engine(bundle, "--compute_capability", "8.6") == 0


@pytest.mark.parametrize(
    ("words", "about", "code", "message"),
    [
        ("--precision int8", {}, 2, "--precision int8: TensorRT has no operators .*; take int8-static"),
        ("--precision bf16", {}, 2, "--precision bf16: must be one of fp32, fp16, int8-static"),
        ("--compute_capability 8", {}, 2, "--compute_capability 8: must be two numbers with a dot"),
        ("--compute_capability 8.6 8.6", {}, 2, "--compute_capability 8.6: given twice"),
        ("--compute_capability 9.0", {}, 2, "compiles for 7.5, 8.6, 8.9, 12.0; for such a GPU take --runtime tensorrt"),
        ("--compute_capability 6.1", {}, 2, "6.1: TensorRT-RTX 1.7.1.116 compiles for 7.5, 8.6, 8.9, 12.0$"),
        ("--runtime tensorrt --compute_capability 8.6", {}, 2, "leave it out, or take --runtime rtx"),
        ("--batch 4 2 8", {}, 2, "--batch 4 2 8: give least, best and most"),
        ("--length 1 2 64", {}, 2, "--length 64: the bundle was exported for up to 32 tokens"),
        ("", {"fails": "no kernel\nfor it"}, 1, "cannot compile the model for 7.5: no kernel$"),
        (
            "",
            {"unreadable": "CumSum"},
            1,
            "model.fp16.onnx: TensorRT-RTX 1.7.1.116 cannot read it: CumSum: no such plug",
        ),
    ],
)
def test_what_cannot_be_is_one_line(bundle, words, about, code, message, monkeypatch, capsys):
    use(monkeypatch, **about)
    before = sorted(bundle.rglob("*"))
    assert engine(bundle, *words.split()) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "Traceback" not in error
    assert re.search(message, error.removesuffix(". 'python -m ofa_bert engine --help' explains every flag.")), error
    assert sorted(bundle.rglob("*")) == before


@pytest.mark.parametrize("precision", ["fp32", "int8-static"])
def test_turing_has_no_float32_products(bundle, precision, monkeypatch, capsys):
    made = use(monkeypatch, network=partial(Network, **KIND[precision]))
    assert engine(bundle, "--precision", precision, "--compute_capability", "7.5") == 2
    said = capsys.readouterr().err
    assert "--compute_capability 7.5: TensorRT-RTX 1.7.1.116 has no float32 matrix" in said
    assert "export it with --precision int8-static-fp16" in said
    assert made.configs == []
    assert engine(bundle, "--precision", precision) == 0
    assert "so 7.5 is left out" in capsys.readouterr().err
    assert [entry.compute_capability for entry in open_bundle(bundle).manifest.engines] == ["8.6", "8.9"]


def test_int8_whose_rest_is_fp16_goes_first_and_to_turing_too(tmp_path, monkeypatch):
    both = make_bundle(
        tmp_path / "b", labels=["a", "b"], limit=32, models=[*MODELS, HALF_STATIC], shape=SHAPE, sub_model=SUB_MODEL,
        task=TASK,
    )  # fmt: skip
    use(monkeypatch, network=partial(Network, quantized=True))
    assert engine(both, "--precision", "int8-static") == 0
    entries = open_bundle(both).manifest.engines
    assert [entry.compute_capability for entry in entries] == ["7.5", "8.6", "8.9"]
    assert {(entry.source, entry.precision) for entry in entries} == {("model.int8-static-fp16.onnx", "int8-static")}
    for wrong in ({"dtype": "FLOAT", "quantized": True}, {"quantized": False}):
        use(monkeypatch, network=partial(Network, **wrong))
        assert engine(both, "--precision", "int8-static") == 1


def test_what_was_compiled_on_the_gpu_goes_with_its_engine(bundle, monkeypatch):
    use(monkeypatch)
    line = ["--compute_capability", "8.6"]
    assert engine(bundle, *line) == 0
    (first,) = open_bundle(bundle).manifest.engines
    (bundle / (first.file + ".kernels")).write_bytes(b"kernels")
    monkeypatch.setattr(library, "WORKSPACE", 7)  # other bytes
    assert engine(bundle, *line) == 0
    assert [path.suffix for path in (bundle / "engines").iterdir()] == [".engine"]


def test_a_missing_package_names_its_extra(bundle, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    assert engine(bundle) == 2
    assert 'pip install ".[tensorrt-rtx]"' in capsys.readouterr().err


def test_a_bundle_without_that_precision_or_without_digests(tmp_path, bundle, monkeypatch, capsys):
    use(monkeypatch)
    other = make_bundle(tmp_path / "other")
    assert engine(other) == 2
    assert "holds no onnx model in fp16" in capsys.readouterr().err
    about = json.loads((bundle / "manifest.json").read_text())
    about["files"] = {name: entry["bytes"] for name, entry in about["files"].items()}
    (bundle / "manifest.json").write_text(json.dumps({**about, "format": 2}))
    assert engine(bundle) == 2
    assert "add_digests --bundle" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["10.13.3.9", "11.4.0.106"])
def test_tensorrt_compiles_for_the_gpu_that_is_here(bundle, version, monkeypatch, capsys):
    _, made = install(monkeypatch, "tensorrt", "9.0", version)
    assert engine(bundle, "--runtime", "tensorrt") == 0
    (entry,) = open_bundle(bundle).manifest.engines
    assert (entry.runtime, entry.version, entry.compute_capability) == ("tensorrt", version, "9.0")
    assert made.configs[0].target is None
    assert made.networks[0][0] == 1 << made.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert f"with TensorRT {version}." in capsys.readouterr().out


def test_tensorrt_without_a_gpu_or_too_old(bundle, monkeypatch, capsys):
    use(monkeypatch, "tensorrt", version="11.4.0.106", gpu=False)
    assert engine(bundle, "--runtime", "tensorrt") == 2
    assert "compiles for the GPU of its own machine and finds none here" in capsys.readouterr().err
    use(monkeypatch, "tensorrt", version="10.9.0")
    assert engine(bundle, "--runtime", "tensorrt") == 2
    assert "version 10.9.0 is installed, 10.12 or later is needed" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert engine(bundle, "--runtime", "tensorrt") == 2
    assert "pip install tensorrt on the machine with the GPU" in capsys.readouterr().err


def test_one_command_at_a_time(bundle, monkeypatch, tmp_path):
    use(monkeypatch)
    held = []
    monkeypatch.setattr(build, "add_engines", lambda bundle, *more: held.append(dict(lock._held)) or ([], None))
    monkeypatch.setattr(build, "_report", lambda *more: "done")
    assert build.build_engines(build.EngineJob(bundle=str(bundle))) == "done"
    assert any(bundle.name in path.name or bundle.name in str(path) for path in held[0])
