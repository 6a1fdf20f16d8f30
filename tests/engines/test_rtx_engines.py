"""Real engines, built by NVIDIA's TensorRT for RTX without a GPU; `make test-tensorrt` has it and makes the bundles.

OFA_BERT_ENGINE_BUNDLES: the directory that benchmarks/tensorrt_bundles.py wrote.
"""

import inspect
import os
import re
import shutil
from pathlib import Path

import pytest

from helpers import fake_tensorrt
from helpers.paths import ROOT
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.engines import library
from ofa_bert.engines.build import EngineJob, build_engines
from ofa_bert.engines.network import check
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime.backends.tensorrt import Profile

pytestmark = pytest.mark.slow
bindings = pytest.importorskip("tensorrt_rtx_bindings", reason="NVIDIA's TensorRT for RTX is not installed")
BUNDLES = os.environ.get("OFA_BERT_ENGINE_BUNDLES")
NAMES = ("w1", "w0.6667", "w0.6667_d0.5")
TARGETS = {"fp32": ("8.6", "8.9"), "fp16": ("7.5", "8.6", "8.9"), "int8-static": ("8.6", "8.9")}
SHAPES = {"w1": (4, 6, 96), "w0.6667": (4, 4, 64), "w0.6667_d0.5": (2, 4, 64)}  # layers, heads, neurons


@pytest.fixture
def bundle(request, tmp_path):
    if BUNDLES is None:
        pytest.skip("OFA_BERT_ENGINE_BUNDLES names no bundles; run make test-tensorrt")
    return Path(shutil.copytree(ROOT / BUNDLES / request.param, tmp_path / "bundle"))


@pytest.mark.parametrize("bundle", NAMES, indirect=True)
@pytest.mark.parametrize("precision", TARGETS)
def test_engines_of_every_width_and_precision(bundle, precision):
    build_engines(EngineJob(bundle=str(bundle), precision=precision, compute_capability=TARGETS[precision]))
    manifest = open_bundle(bundle).manifest
    assert [entry.compute_capability for entry in manifest.engines] == list(TARGETS[precision])
    for entry in manifest.engines:
        assert (entry.version, entry.state) == (bindings.__version__, "built, not run")
        assert manifest.files[entry.file].bytes > 100_000


@pytest.mark.parametrize("bundle", NAMES, indirect=True)
@pytest.mark.parametrize("precision", TARGETS)
def test_networks_are_the_sub_models(bundle, precision, request):
    opened = open_bundle(bundle)
    facts = facts_of(opened, precision)
    depth, heads, ffn = SHAPES[request.node.callspec.params["bundle"]]
    inside = [(48, 3 * heads * 8), (heads * 8, 48), (48, ffn), (ffn, 48)]
    weighted = [product for product in facts.products if product.widths]
    assert [product.widths for product in weighted] == inside * depth + [(48, 48), (48, 2)]
    assert len(facts.products) == 6 * depth + 2  # four of weights and two of attention in each layer, two of the head
    assert [product.quantized for product in weighted] == [precision == "int8-static"] * 4 * depth + [False] * 2
    wanted = {"HALF"} if precision == "fp16" else {"FLOAT"}
    assert {type for product in facts.products for type in product.types} == wanted
    assert facts.inputs == {name: ("INT64", (-1, -1)) for name in ("input_ids", "token_type_ids")}
    assert facts.outputs == {"logits": ("FLOAT", (-1, 2))}


@pytest.mark.parametrize("bundle", ["w0.6667"], indirect=True)
def test_the_wrong_file_does_not_pass(bundle):
    opened = open_bundle(bundle)
    for held, asked in (("fp32", "fp16"), ("fp16", "fp32"), ("int8-static", "fp32"), ("fp32", "int8-static")):
        with pytest.raises(RunError, match="reads another model than the manifest describes"):
            check(facts_of(opened, held), opened.manifest, asked, "model.onnx")


@pytest.mark.parametrize("bundle", ["w0.6667_d0.5"], indirect=True)
@pytest.mark.parametrize("precision", ["fp32", "int8-static"])
def test_turing_is_refused_where_the_library_refuses_it(bundle, precision):
    """Once it compiles float32 products for Turing, our own check has to go."""
    with pytest.raises(UserError, match="no float32 matrix products on Turing"):
        build_engines(EngineJob(bundle=str(bundle), precision=precision, compute_capability=("7.5",)))
    rtx, (source,) = library.installed("rtx"), open_bundle(bundle).model_files("onnx", precision)
    with pytest.raises(RunError, match="cannot compile the model for 7.5: .*Turing"):
        library.compile_engine(rtx, library.parse(rtx, source), Profile(), precision, "7.5")


def test_gpus_that_it_compiles_for():
    assert {"7.5", "8.6", "8.9", "12.0"} <= set(library.installed("rtx").targets)
    assert "9.0" not in library.installed("rtx").targets


def facts_of(bundle, precision):
    (source,) = bundle.model_files("onnx", precision)
    return library.parse(library.installed("rtx"), source).facts


CLASSES = ("Builder", "OnnxParser", "IBuilderConfig", "IOptimizationProfile", "ILayer", "INetworkDefinition")


@pytest.mark.parametrize("name", CLASSES)
def test_the_stand_in_has_the_signatures_of_the_real_one(name):
    made, real = getattr(fake_tensorrt.module(), name), getattr(bindings, name)
    own = {"add", "linear", "product"}  # of the stand-in's networks, which make themselves
    methods = [method for method, _ in inspect.getmembers(made, inspect.isfunction) if method not in own]
    if name in ("Builder", "OnnxParser"):
        assert "__init__" in methods
    else:
        methods = [method for method in methods if method != "__init__"]
    assert methods
    for method in methods:
        wanted = list(inspect.signature(getattr(made, method)).parameters)
        assert re.findall(r"[(,] ?(\w+): ", getattr(real, method).__doc__.strip().splitlines()[0]) == wanted, method


def test_the_stand_in_has_no_names_of_its_own():
    made = fake_tensorrt.module()
    for name in ("LayerType", "DataType", "ComputeCapability", "BuilderFlag", "MemoryPoolType"):
        assert set(getattr(made, name).__members__) <= set(getattr(bindings, name).__members__)
    for name in ("ERROR", "INTERNAL_ERROR", "WARNING"):
        assert hasattr(bindings.ILogger, name)
    assert int(bindings.NetworkDefinitionCreationFlag.STRONGLY_TYPED) >= 0
    assert {"num_layers", "num_inputs", "num_outputs"} <= set(dir(bindings.INetworkDefinition))
    assert {"num_outputs", "type", "name"} <= set(dir(bindings.ILayer))
