"""NVIDIA's Python interface without its library: the calls that this package makes, with the names that those have.

`tests/engines/test_rtx_engines.py` holds the signatures against the real ones. A network is not read from the ONNX
file: it is what `network` says, a BERT's by default.
"""

from __future__ import annotations

import enum
import itertools
import types

from helpers import fake_engine

LayerType = enum.Enum("LayerType", "MATRIX_MULTIPLY SOFTMAX SHUFFLE DEQUANTIZE CONSTANT NORMALIZATION")
DataType = enum.Enum("DataType", "FLOAT HALF INT8 INT64")
ComputeCapability = enum.Enum("ComputeCapability", "NONE CURRENT SM75 SM86 SM89 SM120")
BuilderFlag = enum.Enum("BuilderFlag", "TF32")
ProfilingVerbosity = enum.Enum("ProfilingVerbosity", "LAYER_NAMES_ONLY DETAILED")
MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")
NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
FREE = -1


class Tensor:
    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, DataType[dtype], shape


class Layer:
    def __init__(self, type, name, inputs, output):
        self.type, self.name, self._inputs, self._output = LayerType[type], name, inputs, output
        self.num_outputs = 1

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._output


class Network:
    """The layers of a network as far as anybody asks for them."""

    def __init__(self, depth=2, hidden=24, inside=(24, 16), ffn=(40, 10), labels=2, dtype="HALF", quantized=False):
        self.layers, self._numbers = [], itertools.count()
        self.inputs = [Tensor(name, "INT64", (FREE, FREE)) for name in ("input_ids", "token_type_ids")]
        self.outputs = [Tensor("logits", "FLOAT", (FREE, labels))]
        self.dtype, self.quantized = dtype, quantized
        for index in range(depth):
            self.linear(hidden, 3 * inside[index])
            self.product((FREE, 2, FREE, 8), (FREE, 2, 8, FREE))
            self.add("SOFTMAX", [])
            self.product((FREE, 2, FREE, FREE), (FREE, 2, FREE, 8))
            for widths in ((inside[index], hidden), (hidden, ffn[index]), (ffn[index], hidden)):
                self.linear(*widths)
        for widths in ((hidden, hidden), (hidden, labels)):
            self.product((FREE, hidden), widths)

    def add(self, type, inputs, shape=(), dtype=None):
        name = f"{type}_{next(self._numbers)}"
        output = Tensor(name, dtype or self.dtype, shape)
        self.layers.append(Layer(type, name, inputs, output))
        return output

    def product(self, left, right, sources=("CONSTANT", "CONSTANT")):
        return self.add("MATRIX_MULTIPLY", [self.add(kind, [], shape) for kind, shape in zip(sources, (left, right))])

    def linear(self, width, out):
        kind = "DEQUANTIZE" if self.quantized else "CONSTANT"
        left = self.add(kind, [], (FREE, FREE, width))
        right = self.add("SHUFFLE", [self.add(kind, [], (width, out))], (1, width, out))
        self.add("MATRIX_MULTIPLY", [left, right])

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]


class ILogger:
    ERROR, INTERNAL_ERROR, WARNING = "ERROR", "INTERNAL_ERROR", "WARNING"


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        self.shapes[input] = [min, opt, max]

    def get_shape(self, input):
        return self.shapes[input]


class Config:
    def __init__(self):
        self.told, self.num_compute_capabilities, self.target = [], 0, None
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY

    def set_memory_pool_limit(self, pool, pool_size):
        self.told.append((pool.name, pool_size))

    def clear_flag(self, flag):
        self.told.append(("without", flag.name))

    def add_optimization_profile(self, profile):
        self.told.append(("profile", profile.shapes))
        return 0

    def set_compute_capability(self, compute_capability, index):
        assert (index, self.num_compute_capabilities) == (0, 1)
        self.target = compute_capability.name
        return True


def module(version="1.7.1.116", network=Network, gpu=True, fails=None, unreadable=None):
    """The package. fails: what the library says when it cannot compile; unreadable: an operator it does not know.

    Its engines compute what those of helpers.fake_engine do, with `off` and `layers` of the module.
    """
    made = types.ModuleType("tensorrt")
    made.configs, made.networks = [], []

    class Builder:
        def __init__(self, logger):
            self.logger = logger
            if not gpu:
                logger.log("ERROR", "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags=0):
            made.networks.append((flags, network()))
            return made.networks[-1][1]

        def create_builder_config(self):
            made.configs.append(Config())
            return made.configs[-1]

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            if fails:
                self.logger.log("ERROR", fails)
                return None
            profiles = [profile["input_ids"] for kind, profile in config.told if kind == "profile"]
            target = (config.target or "").removeprefix("SM")
            gpu = f"{target[:-1]}.{target[-1:]}" if target else made.gpu
            labels = network.outputs[0].shape[1]
            layers = made.layers if config.profiling_verbosity is ProfilingVerbosity.DETAILED else [["all", None]]
            about = {"labels": labels, "off": made.off, "layers": layers, "told": repr(config.told)}
            return fake_engine.content(version, gpu, profiles, **about)

    class OnnxParser:
        def __init__(self, network, logger):
            self.num_errors = int(unreadable is not None)

        def parse(self, model, path=None):
            assert model
            return unreadable is None

        def get_error(self, index):
            return types.SimpleNamespace(node_operator=lambda: unreadable, desc=lambda: "no such plugin")

    made.gpu, made.off, made.layers = "8.6", 0.0, [["norm", "Half"], ["product", "Half"], ["logits", "Float"]]
    for item in (
        LayerType,
        DataType,
        ComputeCapability,
        BuilderFlag,
        MemoryPoolType,
        NetworkDefinitionCreationFlag,
        ProfilingVerbosity,
    ):
        setattr(made, item.__name__, item)
    made.__version__, made.__file__ = version, "tensorrt.py"
    made.ILogger, made.Builder, made.OnnxParser = ILogger, Builder, OnnxParser
    made.IBuilderConfig, made.IOptimizationProfile, made.ILayer, made.INetworkDefinition = (
        Config,
        Profile,
        Layer,
        Network,
    )
    return made
