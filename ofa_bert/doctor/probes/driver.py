"""A process of its own: NVIDIA's driver says which cards there are. python -m ofa_bert.doctor.probes.driver"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

from ofa_bert.errors import RunError
from ofa_bert.system import child_process

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_LONGEST_NAME = 200


def cards(request: Mapping[str, object]) -> dict[str, object]:
    """{"absent": True} without a driver or a card, or the CUDA version of the driver and every card."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {"absent": True}
    code = driver.cuInit(0)
    if code == _NO_DEVICE:
        return {"absent": True}
    if code:
        raise RunError(f"NVIDIA's driver is installed but does not start (cuInit says {code})")
    version, count = ctypes.c_int(), ctypes.c_int()
    _ask(driver.cuDriverGetVersion(ctypes.byref(version)))
    _ask(driver.cuDeviceGetCount(ctypes.byref(count)))
    found = [_card(driver, number) for number in range(count.value)]
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return {"cuda": cuda, "cards": found} if found else {"absent": True}


def _card(driver: ctypes.CDLL, number: int) -> dict[str, object]:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, total = ctypes.create_string_buffer(_LONGEST_NAME), ctypes.c_size_t()
    _ask(driver.cuDeviceGet(ctypes.byref(device), number))
    _ask(driver.cuDeviceGetName(name, _LONGEST_NAME, device))
    _ask(driver.cuDeviceTotalMem_v2(ctypes.byref(total), device))
    _ask(driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device))
    _ask(driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device))
    return {
        "name": name.value.decode("utf-8", errors="replace"),
        "capability": [major.value, minor.value],
        "mebibytes": total.value >> 20,
    }


def _ask(code: int) -> None:
    if code:
        raise RunError(f"NVIDIA's driver answers with error {code}")


if __name__ == "__main__":
    sys.exit(child_process.answer(cards))
