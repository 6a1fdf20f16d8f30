"""Reads the arrays out of Paddle and PyTorch pickles without running what the pickles ask for.

A pickle is a program: it names callables and calls them. Here every name resolves to one of the few objects
of this file, which only record shapes and bytes, or to an error. NumPy's own classes are not handed out
either: a crafted state can make `numpy.dtype` take raw bytes for object pointers.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ofa_bert.errors import UserError

_BFLOAT16 = "bfloat16"
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL = 1001


class MalformedError(ValueError):
    """The bytes are not what their format says; the caller adds the file's name."""


def bfloat16_to_float32(words: np.ndarray) -> np.ndarray:
    """uint16 words that hold bfloat16 -> the same numbers as float32 (exact)."""
    return (words.astype(np.uint32) << 16).view(np.float32)


class _Callable:
    """What an allowed name resolves to: it can be called, and offers a pickle nothing else to change."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __setstate__(self, state: Any) -> None:
        raise MalformedError("it sets the state of a function")


class _Dict(dict):
    """Stands for OrderedDict; attributes such as the `_metadata` of a torch state dict are dropped."""

    def __setstate__(self, state: Any) -> None:
        del state


class _Dtype:
    """Stands for numpy.dtype; only plain booleans, integers and floats."""

    def __init__(self, spec: Any, *_: Any) -> None:
        spec = spec.decode("ascii") if isinstance(spec, bytes) else spec
        if not isinstance(spec, str) or spec[:1] not in "biuf" or not spec[1:].isdigit():
            raise MalformedError(f"array of type {spec!r}")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: Any) -> None:
        order = state[1]  # (version, byte order, subdtype, names, fields, itemsize, alignment, flags)
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise MalformedError("structured array")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for numpy.ndarray until its state arrives."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(data, bytes):
            raise MalformedError("array without raw bytes")
        flat = np.frombuffer(data, _dtype_of(dtype))
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _dtype_of(stub: Any) -> np.dtype:
    if not isinstance(stub, _Dtype):
        raise MalformedError("array without a dtype")
    return stub.dtype


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for _codecs.encode, by which pickle protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise MalformedError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(data, _dtype_of(dtype), count=1)[0]


@dataclass
class _Storage:
    """A torch storage: `count` elements, whose bytes arrive later in the legacy format."""

    kind: str
    key: str
    count: int
    data: bytes | None = None

    @property
    def bits(self) -> np.dtype:
        return np.dtype("<u2" if self.kind == _BFLOAT16 else self.kind)

    def elements(self) -> np.ndarray:
        if self.data is None:
            raise MalformedError(f"tensor data {self.key!r} is missing")
        if len(self.data) < self.count * self.bits.itemsize:
            raise MalformedError(f"tensor data {self.key!r} is cut off")
        flat = np.frombuffer(self.data, self.bits, count=self.count)
        return bfloat16_to_float32(flat) if self.kind == _BFLOAT16 else flat


@dataclass
class _Tensor:
    """A torch tensor: a strided view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        flat = self.storage.elements()
        if min((self.offset, *self.shape, *self.strides)) < 0:
            raise MalformedError("tensor with a negative size")
        count = int(np.prod(self.shape, dtype=object)) if self.shape else 1
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        # The first condition also refuses a few bytes that are expanded, by stride 0, to fill the memory.
        if count > flat.size or len(self.shape) != len(self.strides) or (count and last >= flat.size):
            raise MalformedError("tensor that reaches beyond its data")
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.array(np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides))


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise MalformedError("tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_PLAIN = {
    ("collections", "OrderedDict"): _Dict,
    ("builtins", "tuple"): tuple,
    ("builtins", "list"): list,
    ("builtins", "dict"): _Dict,
    ("__builtin__", "tuple"): tuple,
    ("__builtin__", "list"): list,
    ("__builtin__", "dict"): _Dict,
    ("_codecs", "encode"): _latin1,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _PLAIN[_module, "_reconstruct"] = lambda *_: _Array()
    _PLAIN[_module, "scalar"] = _scalar
_TORCH = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class _Unpickler(pickle.Unpickler):
    """Resolves the names above and nothing else; collects the torch storages that the pickle mentions."""

    def __init__(self, file: BinaryIO, read_storage: Callable[[str], bytes] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, _Storage] = {}
        self._read_storage = read_storage

    def find_class(self, module: str, name: str) -> Any:
        found = _PLAIN.get((module, name)) or _TORCH.get((module, name))
        if found is not None:
            return _Callable(found)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        wanted = ascii(f"{module}.{name}")[:100]
        raise UserError(f"it asks to run {wanted}, which reading weights never needs")

    def persistent_load(self, pid: Any) -> Any:
        tag, kind, key, _, count = pid[:5]
        if tag != "storage" or kind not in _STORAGES.values() or not isinstance(key, str):
            raise MalformedError("unknown persistent object")
        if len(pid) > 5 and pid[5] is not None:
            raise MalformedError("view of a storage, as PyTorch wrote it before 0.4")
        if key not in self.storages:
            data = self._read_storage(key) if self._read_storage else None
            self.storages[key] = _Storage(kind, key, int(count), data)
        return self.storages[key]


def load_paddle(file: BinaryIO) -> Any:
    """The object in a `.pdparams` or `.pdopt` file: arrays in plain containers."""
    return _resolve(_Unpickler(file).load(), _from_paddle)


def load_torch(file: BinaryIO) -> Any:
    """The object in a torch `.bin` or `.pt` file, zip or the older stream: arrays in plain containers."""
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    return _resolve(_load_torch_zip(file) if is_zip else _load_torch_stream(file), lambda array: array)


def _load_torch_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise MalformedError("zip archive without a single data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise MalformedError("compressed zip archive; PyTorch stores tensors as they are")

        def read_storage(key: str) -> bytes:
            return archive.read(f"{roots[0]}data/{key}")

        byte_order = roots[0] + "byteorder"
        if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
            raise MalformedError("big-endian tensors")
        return _Unpickler(io.BytesIO(archive.read(roots[0] + "data.pkl")), read_storage).load()


def _load_torch_stream(file: BinaryIO) -> Any:
    """Magic, protocol, system, object and storage keys as pickles, then per storage a count and its bytes."""
    if _Unpickler(file).load() != _TORCH_MAGIC or _Unpickler(file).load() != _TORCH_PROTOCOL:
        raise MalformedError("not a file that torch.save wrote")
    _Unpickler(file).load()  # byte order and type sizes of the writer; every machine in use agrees
    unpickler = _Unpickler(file)
    value = unpickler.load()
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        if file.read(8) != storage.count.to_bytes(8, "little"):
            raise MalformedError(f"tensor data {key!r} is cut off")
        storage.data = file.read(storage.count * storage.bits.itemsize)
    return value


def _from_paddle(array: np.ndarray) -> np.ndarray:
    # Paddle has no unsigned 16-bit tensors: it writes bfloat16 as the words that hold it.
    return bfloat16_to_float32(array) if array.dtype == np.uint16 else array


def _resolve(value: Any, convert: Callable[[np.ndarray], np.ndarray]) -> Any:
    """`value` with the stand-ins replaced by arrays, all containers new."""
    if isinstance(value, _Array):
        if value.value is None:
            raise MalformedError("array without content")
        return convert(value.value)
    if isinstance(value, _Tensor):
        return convert(value.array())
    if isinstance(value, dict):
        return {key: _resolve(item, convert) for key, item in value.items()}
    if isinstance(value, tuple) and [type(item) for item in value] == [str, _Array]:
        return _resolve(value[1], convert)  # a lone Paddle tensor is written as (name, array)
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item, convert) for item in value)
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        return value
    raise MalformedError(f"unexpected object of type {type(value).__name__}")
