"""TensorRT and TensorRT-RTX: not installed, not loading, refusing the file, and building."""

import pytest

from ofa_bert.doctor.parts import gpu, tensorrt

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
