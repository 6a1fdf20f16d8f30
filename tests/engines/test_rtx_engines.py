"""Real engines, built by NVIDIA's TensorRT for RTX without a GPU; `make test-tensorrt` has it and makes the bundles.

OFA_BERT_ENGINE_BUNDLES: the directory that benchmarks/tensorrt_bundles.py wrote.
"""

import inspect
import os
import re
import shutil
from pathlib import Path

import pytest

from helpers import fake_cuda, fake_engine, fake_tensorrt
from helpers.paths import ROOT
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.engines import library
from ofa_bert.engines.build import EngineJob, build_engines
from ofa_bert.engines.network import check
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.nvidia import cuda
from ofa_bert.runtime.nvidia.library import installed
from ofa_bert.runtime.nvidia.session import EngineSession
from ofa_bert.system import accelerator

pytestmark = pytest.mark.slow
bindings = pytest.importorskip("tensorrt_rtx_bindings", reason="NVIDIA's TensorRT for RTX is not installed")
BUNDLES = os.environ.get("OFA_BERT_ENGINE_BUNDLES")
NAMES = ("w1", "w0.6667", "w0.6667_d0.5")
TARGETS = {"fp32": ("8.6", "8.9"), "fp16": ("7.5", "8.6", "8.9"), "int8-static": ("7.5", "8.6", "8.9")}
FILES = ("fp32", "fp16", "int8-static", "int8-static-fp16")
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
        assert entry.source == {"int8-static": "model.int8-static-fp16.onnx"}.get(precision, entry.source)
        assert manifest.files[entry.file].bytes > 100_000


@pytest.mark.parametrize("bundle", NAMES, indirect=True)
@pytest.mark.parametrize("precision", FILES)
def test_networks_are_the_sub_models(bundle, precision, request):
    opened = open_bundle(bundle)
    facts = facts_of(opened, precision)
    depth, heads, ffn = SHAPES[request.node.callspec.params["bundle"]]
    after = [(heads * 8, 48), (48, ffn), (ffn, 48)]
    inside = [(48, 3 * heads * 8), *after]
    last = [(48, heads * 8), (8, 48), (48, 8), *after]  # for the first token alone, by head
    weighted = [product for product in facts.products if product.widths]
    assert [product.widths for product in weighted] == inside * (depth - 1) + last + [(48, 48), (48, 2)]
    # Four of weights and two of attention in each layer, two more in the last one, two of the head.
    assert len(facts.products) == 6 * depth + 4
    rounded = [True] * 4 * (depth - 1) + [False] * 3 + [True] * 3 + [False] * 2
    assert [product.quantized for product in weighted] == [each and precision in FILES[2:] for each in rounded]
    wanted = {"HALF"} if precision.endswith("fp16") else {"FLOAT"}
    assert {type for product in facts.products for type in product.types} == wanted
    assert facts.inputs == {name: ("INT64", (-1, -1)) for name in ("input_ids", "token_type_ids")}
    assert facts.outputs == {"logits": ("FLOAT", (-1, 2))}


@pytest.mark.parametrize("bundle", ["w0.6667"], indirect=True)
def test_the_wrong_file_does_not_pass(bundle):
    opened = open_bundle(bundle)
    others = (("int8-static", "int8-static-fp16"), ("int8-static-fp16", "int8-static"), ("fp16", "int8-static-fp16"))
    plain = (("fp32", "fp16"), ("fp16", "fp32"), ("int8-static", "fp32"), ("fp32", "int8-static"))
    for held, asked in (*plain, *others, ("int8-static-fp16", "fp16")):
        with pytest.raises(RunError, match="reads another model than the manifest describes"):
            check(facts_of(opened, held), opened.manifest, asked, "model.onnx")


@pytest.mark.parametrize("bundle", ["w0.6667_d0.5"], indirect=True)
@pytest.mark.parametrize("precision", ["fp32", "int8-static"])
def test_turing_is_refused_where_the_library_refuses_it(bundle, precision):
    """Once it compiles float32 products for Turing, our own check has to go."""
    rtx, (source,) = installed("rtx"), open_bundle(bundle).model_files("onnx", precision)
    parsed = library.parse(rtx, source)
    with pytest.raises(UserError, match="no float32 matrix products on Turing"):
        library.check_targets(rtx, ("7.5",), parsed.facts)
    with pytest.raises(RunError, match="cannot compile the model for 7.5: .*Turing"):
        library.compile_engine(rtx, parsed, Profile(), precision, "7.5")


@pytest.mark.parametrize("bundle", ["w0.6667_d0.5"], indirect=True)
def test_an_engine_opens_as_far_as_it_can_without_a_gpu(bundle):
    """It is well formed, and then no GPU is found; one that is cut off is called malformed."""
    build_engines(EngineJob(bundle=str(bundle), precision="fp16", compute_capability=("8.6",)))
    (entry,) = open_bundle(bundle).manifest.engines
    content, rtx = (bundle / entry.file).read_bytes(), installed("rtx")
    malformed = int(bindings.EngineInvalidityDiagnostics.MALFORMED_ENGINE)
    runtime = bindings.Runtime(rtx.messages.logger)
    assert not runtime.get_engine_validity(content)[1] & malformed
    assert runtime.get_engine_validity(b"?" * len(content))[1] & malformed
    if accelerator.capabilities():
        pytest.skip("there is a GPU")
    with pytest.raises(RunError, match="cuda"):
        EngineSession(rtx, cuda.require(), content, "e.engine")


def test_gpus_that_it_compiles_for():
    assert {"7.5", "8.6", "8.9", "12.0"} <= set(installed("rtx").targets)
    assert "9.0" not in installed("rtx").targets


def facts_of(bundle, precision):
    (source,) = bundle.model_files("onnx", precision)
    return library.parse(installed("rtx"), source).facts


CLASSES = (
    "Builder", "OnnxParser", "IBuilderConfig", "IOptimizationProfile", "ILayer", "INetworkDefinition", "Runtime",
    "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache", "EngineInspector",
)  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_the_stand_in_has_the_signatures_of_the_real_one(name):
    module = fake_engine.add(fake_tensorrt.module(), fake_cuda.Device())
    made, real = getattr(module, name), getattr(bindings, name)
    own = {"add", "linear", "product", "numpy", "compute", "_range"}  # of the stand-ins, which make and run themselves
    methods = [method for method, _ in inspect.getmembers(made, inspect.isfunction) if method not in own]
    if name in ("Builder", "OnnxParser", "Runtime"):
        assert "__init__" in methods
    else:
        methods = [method for method in methods if method != "__init__"]
    assert methods
    for method in methods:
        wanted = list(inspect.signature(getattr(made, method)).parameters)
        assert wanted in signatures(getattr(real, method).__doc__), method


def signatures(said):
    """The names of the arguments of each form of a method, of what pybind says of it."""
    lines = [line for line in said.splitlines() if re.match(r"(\d+\. )?\w+\(self: ", line)]
    return [re.findall(r"[(,] ?(\w+): ", line) for line in lines]


def test_the_stand_in_of_cuda_has_the_signatures_of_the_real_one():
    made = fake_cuda.module(fake_cuda.Device())
    real = pytest.importorskip("cuda.bindings.runtime", reason="NVIDIA's cuda-python is not installed")
    calls = [name for name, item in vars(made).items() if name.startswith("cuda") and hasattr(item, "__wrapped__")]
    assert len(calls) == 14
    for name in calls:
        (line, *_) = getattr(real, name).__doc__.splitlines()
        words = [re.search(r"(\w+)(?::.*)?$", word)[1] for word in line[line.index("(") + 1 : -1].split(", ") if word]
        assert words == list(inspect.signature(getattr(made, name).__wrapped__).parameters), name
    for name in ("cudaMemcpyKind", "cudaStreamCaptureMode", "cudaError_t"):
        theirs = getattr(real, name)
        assert {item.name: int(item.value) for item in getattr(made, name)}.items() <= {
            item.name: int(item.value) for item in theirs
        }.items(), name
    assert int(real.cudaStream_t(5)) == 5
    assert real.cudaGetErrorString(real.cudaError_t(2)) == (0, b"out of memory")


def test_the_stand_in_has_no_names_of_its_own():
    made = fake_tensorrt.module()
    enums = ("LayerType", "DataType", "ComputeCapability", "BuilderFlag", "MemoryPoolType", "ProfilingVerbosity")
    for name in enums:
        assert set(getattr(made, name).__members__) <= set(getattr(bindings, name).__members__)
    for name in ("ERROR", "INTERNAL_ERROR", "WARNING"):
        assert hasattr(bindings.ILogger, name)
    assert int(bindings.NetworkDefinitionCreationFlag.STRONGLY_TYPED) >= 0
    assert {"num_layers", "num_inputs", "num_outputs"} <= set(dir(bindings.INetworkDefinition))
    assert {"num_outputs", "type", "name"} <= set(dir(bindings.ILayer))
    assert {"num_io_tensors", "num_optimization_profiles"} <= set(dir(bindings.ICudaEngine))
    assert "cuda_graph_strategy" in dir(bindings.IRuntimeConfig)
    assert "profiling_verbosity" in dir(bindings.IBuilderConfig)
    for name in ("TensorIOMode", "CudaGraphStrategy", "LayerInformationFormat", "DataType"):
        assert set(getattr(fake_engine, name).__members__) <= set(getattr(bindings, name).__members__), name
