"""Reads weights from any of the files that models come in, without running code; writes safetensors."""

from __future__ import annotations

import json
import logging
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ofa_bert.errors import RunError, UserError
from ofa_bert.files import pickles
from ofa_bert.files.atomic import create
from ofa_bert.files.pickle_machine import MalformedError
from ofa_bert.files.reading import JSON_BYTES, Json, open_regular, parse_json, read_json, refuse_pointer
from ofa_bert.numerics import Array
from ofa_bert.reporting import shown

logger = logging.getLogger(__name__)

# In PaddleNLP's order of preference; an index names the parts of a model that was split.
WEIGHT_FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "model_state.pdparams.index.json",
    "model_state.pdparams",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
_BFLOAT16 = "BF16"
# Everything that damaged bytes are known to make the readers raise; MalformedError is a ValueError.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RuntimeError,
    struct.error,
)


def find_weights(directory: str | Path) -> Path:
    """The weight file (or index of parts) of a model directory; UserError when there is none."""
    for name in WEIGHT_FILES:
        path = Path(directory, name)
        if path.is_file():
            return path
    raise UserError(f"{directory}: holds no weights; looked for {', '.join(WEIGHT_FILES)}")


def read_weights(path: str | Path) -> dict[str, Array]:
    """Name -> array of a weight file: safetensors, Paddle's or PyTorch's pickle, or a split model's index.

    float16 and bfloat16 become float32, other types stay as they are. Entries that are not arrays (Paddle's
    table of names, a scheduler's state) are left out. UserError for a missing, damaged or hostile file.
    """
    path = Path(path)
    if path.name.endswith(".index.json"):
        return _read_parts(path)
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise UserError(f"{path}: not a kind of weight file; known are {', '.join(_READERS)} and .index.json")
    value = _read(path, reader)
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a {type(value).__name__}, not weights by name")
    return _arrays(path, value)


def _read(path: Path, reader: Callable[[BinaryIO], object]) -> object:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            return reader(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{path}: refused: {error}") from error
    except MemoryError as error:
        raise RunError(f"{path}: its weights do not fit into the memory of this machine") from error
    except _DAMAGE as error:
        refuse_pointer(path)
        if size == 0:
            raise UserError(f"{path}: the file is empty; fetch or save it again") from error
        # Escaped and cut, because the library's words can quote the file.
        detail = f"damaged, cut off or not a weight file ({ascii(str(error))[1:121]})"
        raise UserError(f"{path}: {detail}; fetch or save it again") from error


def _arrays(path: Path, value: Mapping[object, object]) -> dict[str, Array]:
    arrays = {}
    for name, item in value.items():
        if isinstance(name, str) and isinstance(item, np.ndarray):
            arrays[name] = item.astype(np.float32) if item.dtype == np.float16 else item
        else:
            logger.debug("%s: %r is not an array; left out", path, name)
    if not arrays:
        raise UserError(f"{path}: holds no weights (found {', '.join(map(shown, list(value)[:5])) or 'nothing'})")
    return arrays


def _read_parts(index: Path) -> dict[str, Array]:
    """All parts of a split model, checked: every name of the index present, no part outside its directory."""
    content = read_json(index, finite=True)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(part, str) for part in weight_map.values()):
        raise UserError(f"{index}: not an index of weight files; it has no weight_map of names to files")
    parts = sorted({str(part) for part in weight_map.values()})
    for part in parts:
        if Path(part).name != part or not part.isprintable():
            raise UserError(f"{index}: names {shown(part)}; parts must lie beside the index")
        if Path(part).suffix not in _READERS:  # another index, or this one again, among them
            raise UserError(f"{index}: names {shown(part)}, which is no weight file ({', '.join(_READERS)})")
    weights: dict[str, Array] = {}
    for part in parts:
        weights.update(read_weights(index.parent / part))
    missing = sorted(set(weight_map) - set(weights))
    if missing:
        raise UserError(f"{index}: its parts lack {len(missing)} of the weights it names, first {shown(missing[0])}")
    return weights


def _read_safetensors(file: BinaryIO) -> dict[str, Array]:
    """Parsed here because the library's NumPy reader has no bfloat16; it is a JSON header and raw bytes."""
    size = os.fstat(file.fileno()).st_size
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(size - 8, JSON_BYTES):
        raise MalformedError(f"its header would have {length} bytes")
    header = parse_json(file.read(length).decode("utf-8"), finite=True)
    if not isinstance(header, dict):
        raise MalformedError(f"its header is a {type(header).__name__}")
    header.pop("__metadata__", None)
    entries = {name: _entry(name, about) for name, about in header.items()}
    data = memoryview(file.read())
    arrays, position = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position or entry.end > len(data):
            raise MalformedError(f"tensor {shown(name)} lies outside the data or over another one")
        arrays[name] = _tensor(entry, data[entry.begin : entry.end])
        position = entry.end
    if position != len(data):
        raise MalformedError(f"{len(data) - position} bytes belong to no tensor")
    return arrays


class _Entry(NamedTuple):
    """Where a tensor lies behind the header, in bytes, and what it is."""

    begin: int
    end: int
    dtype: str
    shape: tuple[int, ...]


def _entry(name: str, about: Json) -> _Entry:
    """MalformedError unless type, shape and offsets of a tensor are what they must be and agree."""
    if not isinstance(about, dict) or set(about) != {"dtype", "shape", "data_offsets"}:
        raise MalformedError(f"tensor {shown(name)} is not described by dtype, shape and data_offsets")
    offsets, dtype = about["data_offsets"], about["dtype"]
    if not isinstance(dtype, str) or (dtype != _BFLOAT16 and dtype not in _SAFETENSORS_DTYPES):
        raise MalformedError(f"tensor {shown(name)} has the unknown type {shown(dtype)}")
    places = [place for place in offsets if type(place) is int] if isinstance(offsets, list) else []
    if not isinstance(offsets, list) or len(offsets) != 2 or len(places) != 2:
        raise MalformedError(f"tensor {shown(name)} lies at {shown(offsets)}")
    entry = _Entry(places[0], places[1], dtype, pickles.checked_shape(about["shape"]))
    itemsize = 2 if dtype == _BFLOAT16 else np.dtype(_SAFETENSORS_DTYPES[dtype]).itemsize
    if entry.begin < 0 or math.prod(entry.shape) * itemsize != entry.end - entry.begin:
        raise MalformedError(f"tensor {shown(name)} has another size than its shape says")
    return entry


def _tensor(entry: _Entry, data: memoryview) -> Array:
    if entry.dtype == _BFLOAT16:
        return pickles.bfloat16_to_float32(np.frombuffer(data, "<u2").reshape(entry.shape))
    return np.frombuffer(data, _SAFETENSORS_DTYPES[entry.dtype]).reshape(entry.shape)


_READERS: dict[str, Callable[[BinaryIO], object]] = {
    ".safetensors": _read_safetensors,
    ".pdparams": pickles.load_paddle,
    ".pdopt": pickles.load_paddle,
    ".bin": pickles.load_torch,
    ".pt": pickles.load_torch,
    ".pth": pickles.load_torch,
}


def write_weights(path: str | Path, weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors into a new file and sync it to the disk. OSError, and a partial file, when that fails.

    The default metadata say format "np": PaddleNLP 2.8 loads that and refuses "pd". Written here rather than
    by the library, which needs a second copy of everything in memory and hides the errno of a full disk.
    """
    names = {np.dtype(value): name for name, value in _SAFETENSORS_DTYPES.items()}
    arrays = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in weights.items()}
    # Larger elements first, so that every tensor starts at a multiple of its element size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(metadata or {"format": "np"})}
    position = 0
    for name in order:
        array = arrays[name]
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        position += array.nbytes
    text = json.dumps(header, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with create(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
