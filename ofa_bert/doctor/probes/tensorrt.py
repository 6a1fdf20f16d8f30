"""A process of its own: NVIDIA's TensorRT or TensorRT-RTX reads a small graph and builds an engine.

python -m ofa_bert.doctor.probes.tensorrt
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.doctor import small_graph
from ofa_bert.errors import RunError
from ofa_bert.files.fields import Fields
from ofa_bert.system import child_process

_SHAPES = ((1, 1), (4, 16), (8, 64))  # least, best, most rows and tokens


def build(request: Mapping[str, object]) -> dict[str, object]:
    """Version and bytes of the engine. request: `packages`, of which the first that is there is taken; `build`."""
    fields = Fields(request, "the request")
    there = [name for name in fields.texts("packages") if importlib.util.find_spec(name) is not None]
    if not there:
        return {"absent": True}
    library = importlib.import_module(there[0])
    found: dict[str, object] = {"version": str(getattr(library, "__version__", "unknown"))}
    return {**found, "bytes": _built(library)} if fields.switch("build") else found


def _built(library: ModuleType) -> int:
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    # Typed where that has to be asked for; before TensorRT 10.12 there is no such flag.
    typed = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = library.OnnxParser(network, logger)
    if not parser.parse(small_graph.onnx()):
        raise RunError("; ".join(str(parser.get_error(number)) for number in range(parser.num_errors)))
    profile = builder.create_optimization_profile()
    for name in INPUTS:
        profile.set_shape(name, *_SHAPES)
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RunError("it built no engine and does not say why")
    return int(engine.nbytes)


if __name__ == "__main__":
    sys.exit(child_process.answer(build))
