"""Files of weights, and their index."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np

from helpers import foreign_files, mutations
from robustness.kind import FileKind

WEIGHTS = {
    "a.weight": np.arange(12, dtype="f4").reshape(3, 4) / 8,
    "a.bias": np.array([-1.5, 0.25, 3.0], "f4"),
    "scalar": np.array(2.5, "f4"),
    "empty": np.zeros([0, 4], "f4"),
}


def safetensors(directory: Path) -> Path:
    from ofa_bert.files.weights import write_weights

    write_weights(directory / "model.safetensors", WEIGHTS)
    return directory / "model.safetensors"


def paddle_pickle(directory: Path, protocol: int) -> Path:
    """As paddle.save writes it, without Paddle."""
    value = {name: (name, array) for name, array in WEIGHTS.items()}
    path = directory / "model_state.pdparams"
    path.write_bytes(pickle.dumps({**value, "StructuredToParameterName@@": {"a": "b"}}, protocol))
    return path


def torch_pickle(directory: Path, legacy: bool) -> Path:
    foreign_files.write_torch(directory / "pytorch_model.bin", WEIGHTS, legacy=legacy)
    return directory / "pytorch_model.bin"


def index(directory: Path) -> Path:
    from ofa_bert.files.weights import write_weights

    parts = {"one.safetensors": ["a.weight", "a.bias"], "two.safetensors": ["scalar", "empty"]}
    for part, names in parts.items():
        write_weights(directory / part, {name: WEIGHTS[name] for name in names})
    weight_map = {name: part for part, names in parts.items() for name in names}
    path = directory / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 100}, "weight_map": weight_map}))
    return path


def read_weights(path: Path) -> None:
    from ofa_bert.files.weights import read_weights

    for array in read_weights(path).values():
        np.asarray(array, np.float32)


KINDS = (
    FileKind("safetensors", safetensors, read_weights, mutations.of_safetensors),
    FileKind("pdparams 2", partial(paddle_pickle, protocol=2), read_weights, mutations.of_bytes),
    FileKind("pdparams 4", partial(paddle_pickle, protocol=4), read_weights, mutations.of_bytes),
    FileKind("torch zip", partial(torch_pickle, legacy=False), read_weights, mutations.of_zip("archive/data.pkl")),
    FileKind("torch stream", partial(torch_pickle, legacy=True), read_weights, mutations.of_bytes),
    FileKind("index", index, read_weights, mutations.of_json),
)
