"""A process of its own: NVIDIA's TensorRT or TensorRT-RTX reads a small graph, builds an engine and runs it.

python -m ofa_bert.doctor.probes.tensorrt
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType

import numpy as np

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.doctor import small_graph
from ofa_bert.errors import RunError, UserError
from ofa_bert.files.fields import Fields
from ofa_bert.runtime.nvidia import cuda
from ofa_bert.runtime.nvidia.library import Library
from ofa_bert.runtime.nvidia.session import EngineSession
from ofa_bert.system import child_process

_SHAPES = ((1, 1), (4, 16), (8, 64))  # least, best, most rows and tokens


def build(request: Mapping[str, object]) -> dict[str, object]:
    """Version, bytes of the engine and how far off its logits are, or why it was `not_run`.

    request: `packages`, of which the first that is there is taken, its `runtime`, and whether to `build` and `run`.
    """
    fields = Fields(request, "the request")
    there = [name for name in fields.texts("packages") if importlib.util.find_spec(name) is not None]
    if not there:
        return {"absent": True}
    library = importlib.import_module(there[0])
    version = str(getattr(library, "__version__", "unknown"))
    if not fields.switch("build"):
        return {"version": version}
    engine = _built(library)
    ran = _ran(Library(fields.text("runtime"), library, version), engine) if fields.switch("run") else {}
    return {"version": version, "bytes": len(engine), **ran}


def _ran(library: Library, engine: bytes) -> dict[str, object]:
    try:
        memory = cuda.require()
    except UserError as error:
        return {"not_run": str(error)}
    session = EngineSession(library, memory, engine, "the engine")
    try:
        apart, wanted = [], []
        for rows, tokens in (_SHAPES[1], _SHAPES[0], _SHAPES[2]):
            batch = small_graph.batch(rows, tokens)
            wanted.append(small_graph.logits(*batch))
            apart.append(session.run(*batch) - wanted[-1])
    finally:
        session.close()
    share = np.sqrt(np.square(np.concatenate(apart)).mean()) / np.concatenate(wanted).std()
    if not np.isfinite(share):
        raise RunError("its logits hold NaN or infinity")
    return {"share": float(share)}


def _built(library: ModuleType) -> bytes:
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
    return bytes(engine)


if __name__ == "__main__":
    sys.exit(child_process.answer(build))
