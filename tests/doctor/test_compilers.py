"""TensorRT and TensorRT-RTX: not installed, not loading, refusing the file, and building."""

import re
import sys

import pytest

from helpers import fake_engine, fake_tensorrt
from helpers.fake_gpu import install
from ofa_bert.doctor import small_graph
from ofa_bert.doctor.parts import gpu, tensorrt
from ofa_bert.doctor.probes import tensorrt as tensorrt_probe
from ofa_bert.errors import UserError

PACKAGE = """
__version__ = "11.4"
class Logger:
    ERROR = 1
    def __init__(self, level): pass
class NetworkDefinitionCreationFlag:
    STRONGLY_TYPED = 1
class Profile:
    def set_shape(self, name, least, best, most): assert least <= best <= most
class Config:
    profiles = 0
    def add_optimization_profile(self, profile): self.profiles += 1
class Builder:
    def __init__(self, logger): {begin}
    def create_network(self, flags): return flags
    def create_optimization_profile(self): return Profile()
    def create_builder_config(self): return Config()
    def build_serialized_network(self, network, config):
        return memoryview(b"engine") if network == 2 and config.profiles else None
class OnnxParser:
    num_errors = 1
    def __init__(self, network, logger): pass
    def parse(self, content): return b"MatMul" in content and {parses}
    def get_error(self, number): return "no importer for MatMul"
"""


def builds(visit, name):
    return tensorrt.builds(tensorrt.KINDS[name], name, visit)


@pytest.mark.parametrize("name", tensorrt.KINDS)
def test_not_installed(visit, stubs, name):
    stubs.hide(*tensorrt.KINDS[name].packages)
    assert builds(visit, name).said == "not installed"


@pytest.mark.parametrize(
    ("begin", "parses", "state", "said"),
    [
        ("pass", True, "works", "11.4 reads ONNX and built an engine of 6 bytes"),
        ("pass", False, "broken", "no importer for MatMul"),
        ("raise TypeError('pybind11::init(): factory function returned nullptr')", True, "broken", "returned nullptr"),
    ],
)
@pytest.mark.parametrize("package", ["tensorrt_rtx", "tensorrt_rtx_bindings"])
def test_rtx_builds_without_a_card(visit, stubs, package, begin, parses, state, said):
    stubs.hide(*set(tensorrt.KINDS["TensorRT-RTX"].packages) - {package})
    stubs.package(package, PACKAGE.format(begin=begin, parses=parses))
    found = builds(visit, "TensorRT-RTX")
    assert found.state == state
    assert said in found.said


def test_tensorrt_builds_where_a_card_is(visit, stubs):
    stubs.package("tensorrt", PACKAGE.format(begin="pass", parses=True))
    found = builds(visit, "TensorRT")
    assert (found.state, found.said) == ("absent", "11.4 loads; it builds nothing without an NVIDIA card")
    visit.say(gpu.CARDS, cards=[{"name": "L4", "capability": [8, 9], "mebibytes": 1}])
    assert builds(visit, "TensorRT").state == "works"


def test_a_package_that_does_not_load(visit, stubs):
    stubs.package("tensorrt", "raise ImportError('libnvinfer.so.11: cannot open shared object file')")
    found = builds(visit, "TensorRT")
    assert found.state == "broken"
    assert "libnvinfer.so.11" in found.said
    assert "driver" in found.cure


LINES = {"TensorRT": ("tensorrt", "11.4.0.106"), "TensorRT-RTX": ("rtx", "1.7.1.116")}


def on_a_card(visit, monkeypatch, name, gpu_is="8.6", change=0.0, **about):
    """The part where a card is; NVIDIA's packages are stand-ins, so the probe runs in this process."""
    runtime, version = LINES[name]
    device, made = install(monkeypatch, runtime, gpu_is, version)
    made.Logger = lambda level: made.ILogger()
    made.Logger.ERROR, made.ILogger.log = 1, lambda *_: None
    made.compute = lambda ids, kinds, labels: small_graph.logits(ids, kinds) + change
    network = type("Small", (fake_tensorrt.Network,), {"__init__": lambda self: plain_network(self)})
    monkeypatch.setattr(made, "Builder", type("Builder", (made.Builder,), {"create_network": lambda *_: network()}))
    monkeypatch.setattr(tensorrt_probe.importlib.util, "find_spec", lambda package: package)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", made)
    for key, value in about.items():
        monkeypatch.setitem(sys.modules, key.replace("_in_", "."), value)

    def ask(probe, request, seconds):
        try:
            return tensorrt_probe.build(request)
        except UserError as error:
            return {"error": str(error)}

    monkeypatch.setattr(visit, "ask", ask)
    visit.say(gpu.CARDS, cards=[{"name": "a card", "capability": [*map(int, gpu_is.split("."))], "mebibytes": 1}])
    found = builds(visit, name)
    assert device.left == []
    return found


def plain_network(network):
    network.layers, network.outputs = [], [fake_tensorrt.Tensor("logits", "FLOAT", (-1, 3))]
    network.inputs = []


@pytest.mark.parametrize("name", LINES)
def test_where_a_card_is_the_engine_answers(visit, monkeypatch, name):
    found = on_a_card(visit, monkeypatch, name)
    assert found.state == "works", found
    assert re.search(r"bytes; that answers, off by \S+ % of the logits' spread$", found.said)
    assert found.facts["share"] < 1e-5


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(("change", "said"), [(0.5, "off by"), (float("nan"), "NaN or infinity")])
def test_an_engine_that_answers_something_else_is_broken(visit, monkeypatch, name, change, said):
    found = on_a_card(visit, monkeypatch, name, change=change)
    assert found.state == "broken"
    assert said in found.said
    assert found.cure


def test_without_cuda_python_it_builds_and_says_so(visit, monkeypatch):
    found = on_a_card(visit, monkeypatch, "TensorRT-RTX", cuda_in_bindings_in_runtime=None)
    assert found.state == "works"
    assert "it was not run: " in found.said
    assert "pip install cuda-python" in found.said


@pytest.mark.parametrize(("card", "said"), [("9.0", "no code for compute capability 9.0 (Hopper)"), ("7.5", "bytes")])
def test_a_card_that_rtx_does_not_serve_is_built_for_elsewhere(visit, monkeypatch, card, said):
    found = on_a_card(visit, monkeypatch, "TensorRT-RTX", gpu_is=card)
    assert found.state == "works"
    assert found.said.endswith(said)
    assert "share" not in found.facts


def test_an_engine_that_does_not_open_is_broken(visit, monkeypatch):
    monkeypatch.setattr(fake_engine, "content", lambda *_, **__: b"no engine")
    found = on_a_card(visit, monkeypatch, "TensorRT-RTX")
    assert found.state == "broken"
    assert "does not open it" in found.said
    assert "of one version" in found.cure
