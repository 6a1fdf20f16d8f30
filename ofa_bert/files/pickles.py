"""Reads the arrays out of Paddle and PyTorch pickles without running what the pickles ask for.

Every name in a pickle resolves to one of the few objects of this file, which only record shapes and bytes, or to an
error. NumPy's own classes are not handed out either: a crafted state can make `numpy.dtype` take raw bytes for object
pointers. What all tensors of a file take together is bounded by ARRAY_BYTES times the file's size.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ofa_bert.errors import UserError
from ofa_bert.files.pickle_machine import Budget, Machine, MalformedError, Name, Stub, checked_items
from ofa_bert.numerics import Array, Dtype
from ofa_bert.reporting import shown

# Half precision becomes float32 (2 times), and a matrix may have several names (tied embeddings).
ARRAY_BYTES = 8
_BFLOAT16 = "bfloat16"
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL = 1001
_RANK = 32  # NumPy's limit of dimensions
_ORDERS: tuple[Literal["<", ">", "|", "="], ...] = ("<", ">", "|", "=")
_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def bfloat16_to_float32(words: NDArray[np.uint16]) -> NDArray[np.float32]:
    """uint16 words that hold bfloat16 -> the same numbers as float32 (exact)."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def checked_shape(shape: object) -> tuple[int, ...]:
    """A shape out of a file; MalformedError when it is none."""
    if not isinstance(shape, (list, tuple)) or len(shape) > _RANK or any(type(n) is not int or n < 0 for n in shape):
        raise MalformedError(f"a tensor of the shape {shown(shape)}")
    return tuple(shape)


class _Dtype(Stub):
    """Stands for numpy.dtype; only plain booleans, integers and floats."""

    def __init__(self, spec: object, *_: object) -> None:
        spec = spec.decode("ascii") if isinstance(spec, bytes) else spec
        if not isinstance(spec, str) or spec not in _DTYPES:
            raise MalformedError(f"array of type {shown(spec)}")
        self.dtype: Dtype = np.dtype(spec)

    def set_state(self, state: object) -> None:
        # (version, byte order, subdtype, names, fields, itemsize, alignment, flags)
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise MalformedError("structured array")
        stated = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        order = next((known for known in _ORDERS if known == stated), None)
        if order is None:
            raise MalformedError("structured array")
        self.dtype = self.dtype.newbyteorder(order)


class _Tensor(Stub, ABC):
    """Something that an array is made of, when it is asked for."""

    @abstractmethod
    def nbytes(self) -> int:
        """What the array takes as it is handed on: half precision as float32."""

    @abstractmethod
    def array(self) -> Array:
        """The array itself."""


class _PaddleTensor(_Tensor):
    """Stands for numpy.ndarray until its state arrives."""

    value: Array | None = None

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[4], bytes):
            raise MalformedError("array without raw bytes")
        _, shape, dtype, fortran, data = state
        flat = np.frombuffer(data, _dtype_of(dtype))
        self.value = flat.reshape(checked_shape(shape), order="F" if fortran else "C")

    def _content(self) -> Array:
        if self.value is None:
            raise MalformedError("array without content")
        return self.value

    def nbytes(self) -> int:
        value = self._content()
        return value.size * (4 if value.itemsize == 2 else value.itemsize)

    def array(self) -> Array:
        # Paddle has no unsigned 16-bit tensors: it writes bfloat16 as the words that hold it.
        value = self._content()
        return bfloat16_to_float32(value) if value.dtype == np.uint16 else value


def _dtype_of(stub: object) -> Dtype:
    if not isinstance(stub, _Dtype):
        raise MalformedError("array without a dtype")
    return stub.dtype


def _scalar(dtype: object, data: object) -> np.generic:
    if not isinstance(data, bytes):
        raise MalformedError("number without raw bytes")
    number: np.generic = np.frombuffer(data, _dtype_of(dtype), count=1)[0]
    return number


@dataclass(eq=False)
class _Storage:
    """A torch storage: `count` elements, whose bytes arrive later in the legacy format."""

    kind: str
    key: str
    count: int
    data: bytes | None = None
    _elements: Array | None = field(default=None, repr=False)

    @property
    def bits(self) -> Dtype:
        return np.dtype("<u2" if self.kind == _BFLOAT16 else self.kind)

    def elements(self) -> Array:
        """All elements, read and converted once however many tensors share them."""
        if self._elements is None:
            if self.data is None:
                raise MalformedError(f"tensor data {shown(self.key)} is missing")
            if len(self.data) < self.count * self.bits.itemsize:
                raise MalformedError(f"tensor data {shown(self.key)} is cut off")
            flat: Array = np.frombuffer(self.data, self.bits, count=self.count)
            self._elements = bfloat16_to_float32(flat) if self.kind == _BFLOAT16 else flat
        return self._elements


@dataclass(eq=False)
class _TorchTensor(_Tensor):
    """A torch tensor: a strided view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def nbytes(self) -> int:
        size = math.prod(self.shape)
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        # The first condition also refuses a few bytes that are expanded, by stride 0, to fill the memory.
        if size > self.storage.count or len(self.shape) != len(self.strides) or (size and last >= self.storage.count):
            raise MalformedError("tensor that reaches beyond its data")
        return size * max(self.storage.bits.itemsize, 4 if self.storage.bits.itemsize == 2 else 1)

    def array(self) -> Array:
        flat = self.storage.elements()
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.array(np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides))


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _TorchTensor:
    if not isinstance(storage, _Storage):
        raise MalformedError("tensor without a storage")
    if type(offset) is not int or offset < 0:
        raise MalformedError("tensor with a negative size")
    return _TorchTensor(storage, offset, checked_shape(shape), checked_shape(strides))


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


_BUILTINS = ("builtins", "__builtin__")
_NAMES: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _PaddleTensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}
for _module in _BUILTINS:
    _NAMES[_module, "bytes"] = lambda: b""  # by which pickle protocol 2 writes no bytes
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _NAMES[_module, "_reconstruct"] = lambda *_: _PaddleTensor()
    _NAMES[_module, "scalar"] = _scalar
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


class _Reader:
    """Reads the pickles of one file: what their names mean, on one budget; collects the torch storages they mention."""

    def __init__(self, size: int, read_storage: Callable[[str], bytes] | None = None) -> None:
        self.budget = Budget(size)
        self.storages: dict[str, _Storage] = {}
        self._read_storage = read_storage

    def load(self, file: BinaryIO, size: int) -> object:
        return Machine(file, size, self.budget, self._find, self._persistent).load()

    def _find(self, module: str, name: str) -> object:
        if (module, name) in _NAMES:
            return Name(_NAMES[module, name])
        if (module, name) == ("_codecs", "encode"):
            return Name(self._latin1)
        if (module, name) == ("collections", "OrderedDict") or (module in _BUILTINS and name == "dict"):
            return Name(partial(self._container, checked_items))
        if module in _BUILTINS and name in ("list", "tuple"):
            return Name(partial(self._container, {"list": list, "tuple": tuple}[name]))
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        wanted = ascii(f"{module}.{name}")[:100]
        raise UserError(f"it asks to run {wanted}, which reading weights never needs")

    def _latin1(self, text: object, encoding: object = "latin1") -> bytes:
        """Stands for _codecs.encode, by which pickle protocol 2 writes bytes."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise MalformedError(f"bytes encoded as {shown(encoding)}")
        self.budget.copy(len(text))
        return text.encode("latin1")

    def _container(self, make: Callable[[Iterable[object]], object], items: object = ()) -> object:
        if not isinstance(items, (list, tuple, dict)):
            raise MalformedError(f"a container of a {type(items).__name__}")
        self.budget.operate(len(items))
        return make(items.items() if isinstance(items, dict) else items)

    def _persistent(self, pid: object) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or pid[1] not in _STORAGES.values():
            raise MalformedError("unknown persistent object")
        _, kind, key, _, count = pid[:5]
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise MalformedError("unknown persistent object")
        if len(pid) > 5 and pid[5] is not None:
            raise MalformedError("view of a storage, as PyTorch wrote it before 0.4")
        if key not in self.storages:
            data = self._read_storage(key) if self._read_storage else None
            self.storages[key] = _Storage(kind, key, count, data)
        return self.storages[key]


def load_paddle(file: BinaryIO) -> object:
    """The object in a `.pdparams` or `.pdopt` file; in a dictionary arrays stand for tensors, the rest is raw."""
    size = _size(file)
    return _with_arrays(_Reader(size).load(file, size), size)


def load_torch(file: BinaryIO) -> object:
    """The same for a torch `.bin` or `.pt` file, zip or the older stream."""
    size = _size(file)
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    return _with_arrays(_load_torch_zip(file, size) if is_zip else _load_torch_stream(file, size), size)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _load_torch_zip(file: BinaryIO, size: int) -> object:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        roots = [info.filename[: -len("data.pkl")] for info in members if info.filename.endswith("/data.pkl")]
        if len(roots) != 1:
            raise MalformedError("zip archive without a single data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise MalformedError("compressed zip archive; PyTorch stores tensors as they are")
        # Members that lie over each other ask for more than there is.
        if any(m.file_size != m.compress_size for m in members) or sum(m.file_size for m in members) > size:
            raise MalformedError("zip archive whose members are larger than the file")
        byte_order = roots[0] + "byteorder"
        if byte_order in archive.NameToInfo and archive.read(byte_order) != b"little":
            raise MalformedError("big-endian tensors")
        program = archive.read(roots[0] + "data.pkl")
        reader = _Reader(size, lambda key: archive.read(f"{roots[0]}data/{key}"))
        return reader.load(io.BytesIO(program), len(program))


def _load_torch_stream(file: BinaryIO, size: int) -> object:
    """Magic, protocol, system, object and storage keys as pickles, then per storage a count and its bytes."""
    reader = _Reader(size)
    if reader.load(file, size) != _TORCH_MAGIC or reader.load(file, size) != _TORCH_PROTOCOL:
        raise MalformedError("not a file that torch.save wrote")
    reader.load(file, size)  # byte order and type sizes of the writer; every machine in use agrees
    value = reader.load(file, size)
    keys = reader.load(file, size)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise MalformedError("a list of tensor data that is none")
    for key in keys:
        storage = reader.storages[key]
        wanted = storage.count * storage.bits.itemsize
        if file.read(8) != storage.count.to_bytes(8, "little") or wanted > size - file.tell():
            raise MalformedError(f"tensor data {shown(key)} is cut off")
        storage.data = file.read(wanted)
    return value


def _with_arrays(value: object, size: int) -> object:
    """A dictionary with arrays in place of stubs; what is no tensor is left as it is, and never walked."""
    if not isinstance(value, dict):
        return value
    # A lone Paddle tensor is written as (name, array).
    tensors = {
        key: item[1] if isinstance(item, tuple) and [*map(type, item)] == [str, _PaddleTensor] else item
        for key, item in value.items()
    }
    asked = sum(item.nbytes() for item in tensors.values() if isinstance(item, _Tensor))
    if asked > ARRAY_BYTES * size:
        raise MalformedError(f"its tensors ask for {asked} bytes, more than {ARRAY_BYTES} times the file's {size}")
    return {key: item.array() if isinstance(item, _Tensor) else item for key, item in tensors.items()}
