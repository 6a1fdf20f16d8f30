"""The half of NVIDIA's interface that opens and runs engines, over fake_cuda's device memory.

An engine is JSON: what it was compiled by and for, its profiles, the order and types of its inputs and outputs. What it
computes are the logits of helpers.handmade_bundle, from the bytes that lie at the addresses it is given.
"""

from __future__ import annotations

import enum
import json
import types

import numpy as np

from helpers.handmade_bundle import expected

TensorIOMode = enum.Enum("TensorIOMode", "INPUT OUTPUT")
DataType = enum.Enum("DataType", "FLOAT HALF INT8 INT64 INT32 BF16")
CudaGraphStrategy = enum.Enum("CudaGraphStrategy", "DISABLED WHOLE_GRAPH_CAPTURE")
LayerInformationFormat = enum.Enum("LayerInformationFormat", "ONELINE JSON")
NUMPY = {"FLOAT": "f4", "HALF": "f2", "INT64": "i8", "INT32": "i4"}
IDS = ("input_ids", "token_type_ids")


def content(version="1.7.1.116", gpu="8.6", profiles=(((1, 1), (4, 8), (8, 16)),), **about):
    """A compiled engine. names: its inputs and outputs in their order; types: theirs; labels: of the logits.

    off: what is added to the logits of a wrong one; layers: (name, type of its output) as the inspector tells them.
    """
    known = {
        "names": ["logits", "token_type_ids", "input_ids"],
        "types": {"input_ids": "INT64", "token_type_ids": "INT64", "logits": "FLOAT"},
        "labels": 3,
        "off": 0.0,
        "layers": [["layer0.norm", "Float"], ["layer0.product", "Half"]],
        **about,
    }
    return json.dumps({"engine": 1, "version": version, "gpu": gpu, "profiles": profiles, **known}).encode()


class IRuntimeCache:
    def __init__(self, version):
        self.version, self.kernels, self.read = version, set(), None

    def deserialize(self, blob):
        self.read = bytes(blob)
        found = json.loads(self.read)
        if found["version"] != self.version:
            return False
        self.kernels |= set(map(tuple, found["kernels"]))
        return True

    def serialize(self):
        return json.dumps({"version": self.version, "kernels": sorted(self.kernels)}).encode()


class IRuntimeConfig:
    def __init__(self, version):
        self.cuda_graph_strategy, self._version, self.cache = CudaGraphStrategy.DISABLED, version, None

    def create_runtime_cache(self):
        return IRuntimeCache(self._version)

    def set_runtime_cache(self, cache=None):
        self.cache = cache
        return True


class EngineInspector:
    def __init__(self, about):
        self._about = about

    def get_engine_information(self, format):
        assert format is LayerInformationFormat.JSON
        layers = [
            {"Name": name, "Outputs": [{"Name": f"{name}.out", "Format/Datatype": type}]} if type else name
            for name, type in self._about["layers"]
        ]
        return json.dumps({"Layers": layers, "Bindings": list(IDS)})


class IExecutionContext:
    def __init__(self, engine, config):
        self.engine, self.config, self.profile = engine, config, None
        self.shapes, self.addresses = {}, {}

    def _range(self):
        return self.engine.about["profiles"][self.profile]

    def set_optimization_profile_async(self, profile_index, stream_handle):
        assert stream_handle in self.engine.device.streams
        if profile_index >= self.engine.num_optimization_profiles:
            return False
        self.profile = profile_index
        return True

    def set_input_shape(self, name, shape):
        least, _, most = self._range()
        fits = all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        if fits:
            self.shapes[name] = tuple(shape)
        else:
            self.engine.logger.log("ERROR", f"{name} {tuple(shape)} is outside {least} to {most}")
        return fits

    def get_tensor_shape(self, name):
        return (self.shapes[IDS[0]][0], self.engine.about["labels"]) if name == "logits" else self.shapes[name]

    def get_max_output_size(self, name):
        return self._range()[2][0] * self.engine.about["labels"] * np.dtype(self.engine.numpy(name)).itemsize

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert set(self.addresses) == set(self.engine.about["names"])
        shapes, addresses, engine = dict(self.shapes), dict(self.addresses), self.engine
        assert len(set(shapes.values())) == 1
        engine.runs.append((self.profile, shapes[IDS[0]]))
        if self.config is not None and self.config.cache is not None:
            self.config.cache.kernels.add(shapes[IDS[0]])

        def work():
            ids, kinds = (
                engine.device.at(addresses[name], int(np.prod(shapes[name])) * np.dtype(engine.numpy(name)).itemsize)
                .view(engine.numpy(name)).reshape(shapes[name]).astype("int64")
                for name in IDS
            )  # fmt: skip
            found = engine.compute(ids, kinds, engine.about["labels"])
            logits = (found + engine.about["off"]).astype(engine.numpy("logits"))
            raw = np.ascontiguousarray(logits).reshape(-1).view(np.uint8)
            engine.device.at(addresses["logits"], len(raw))[:] = raw

        engine.device.put(stream_handle, work)
        return True


class ICudaEngine:
    def __init__(self, about, device, logger):
        self.about, self.device, self.logger = about, device, logger
        self.runs, self.configs = [], []
        self.num_io_tensors, self.num_optimization_profiles = len(about["names"]), len(about["profiles"])

    compute = staticmethod(expected)

    def numpy(self, name):
        return NUMPY[self.about["types"][name]]

    def get_tensor_name(self, index):
        return self.about["names"][index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name.endswith("ids") else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType[self.about["types"][name]]

    def get_tensor_profile_shape(self, name, profile_index):
        return self.about["profiles"][profile_index]

    def create_runtime_config(self):
        self.configs.append(IRuntimeConfig(self.about["version"]))
        return self.configs[-1]

    def create_execution_context(self, runtime_config=None):
        return None if self.about.get("full") else IExecutionContext(self, runtime_config)

    def create_engine_inspector(self):
        return EngineInspector(self.about)


def add(made, device, gpu="8.6", rtx=True):
    """Give a stand-in of NVIDIA's package what opens engines on that GPU; `made.engines` are those that were opened.

    made.compute: (ids, kinds, labels) -> the logits that they have.
    """
    made.engines, made.compute = [], expected

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine):
            try:
                about = json.loads(serialized_engine)
                wrong = [
                    f"{name} of the engine is {about[name]}, not {right}"
                    for name, right in (("version", made.__version__), ("gpu", gpu))
                    if about[name] != right
                ]
            except ValueError:
                wrong = ["Serialization assertion header.magicTag failed", "cudaError 700"]
            for line in wrong:
                self.logger.log("ERROR", line)
            if wrong:
                return None
            made.engines.append(ICudaEngine(about, device, self.logger))
            made.engines[-1].compute = made.compute
            return made.engines[-1]

    made.Runtime = Runtime
    made.ICudaEngine, made.IExecutionContext, made.EngineInspector = ICudaEngine, IExecutionContext, EngineInspector
    made.LayerInformationFormat = LayerInformationFormat
    if rtx:
        made.CudaGraphStrategy, made.IRuntimeConfig, made.IRuntimeCache = (
            CudaGraphStrategy, IRuntimeConfig, IRuntimeCache
        )  # fmt: skip
    return made


def package():
    """An empty stand-in with a logger; `helpers.fake_tensorrt.module` has the builder as well."""
    made = types.ModuleType("tensorrt")
    made.__version__, made.__file__ = "1.7.1.116", "tensorrt.py"
    made.ILogger = type("ILogger", (), {"ERROR": "ERROR", "INTERNAL_ERROR": "INTERNAL_ERROR", "WARNING": "WARNING"})
    return made
