"""What NVIDIA's driver says of this machine, asked without any library beside it."""

from __future__ import annotations

import ctypes
from typing import NamedTuple, TypeAlias

from ofa_bert.errors import RunError

Capability: TypeAlias = tuple[int, int]  # (8, 6) for 8.6

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_LONGEST_NAME = 200


class Card(NamedTuple):
    name: str
    capability: Capability
    mebibytes: int


class Driver(NamedTuple):
    """cuda: the version that it knows at most. cards: those that it shows to this process."""

    cuda: str
    cards: tuple[Card, ...]


def driver() -> Driver | None:
    """None without a driver or a card. RunError for a driver that does not work."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    code = library.cuInit(0)
    if code == _NO_DEVICE:
        return None
    if code:
        raise RunError(f"NVIDIA's driver is installed but does not start (cuInit says {code})")
    version, count = ctypes.c_int(), ctypes.c_int()
    _ask(library.cuDriverGetVersion(ctypes.byref(version)))
    _ask(library.cuDeviceGetCount(ctypes.byref(count)))
    cards = tuple(_card(library, number) for number in range(count.value))
    return Driver(f"{version.value // 1000}.{version.value % 1000 // 10}", cards) if cards else None


def _card(library: ctypes.CDLL, number: int) -> Card:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, total = ctypes.create_string_buffer(_LONGEST_NAME), ctypes.c_size_t()
    _ask(library.cuDeviceGet(ctypes.byref(device), number))
    _ask(library.cuDeviceGetName(name, _LONGEST_NAME, device))
    _ask(library.cuDeviceTotalMem_v2(ctypes.byref(total), device))
    _ask(library.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device))
    _ask(library.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device))
    return Card(name.value.decode("utf-8", errors="replace"), (major.value, minor.value), total.value >> 20)


def _ask(code: int) -> None:
    if code:
        raise RunError(f"NVIDIA's driver answers with error {code}")
