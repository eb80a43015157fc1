"""The GPU at hand, asked of NVIDIA's driver itself: what needs no more than that should not need CUDA for Python."""

from __future__ import annotations

import ctypes

_MAJOR, _MINOR = 75, 76
"""``CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`` and ``_MINOR``."""


def compute_capability(device: int = 0) -> str | None:
    """Like ``8.9``; None where there is no driver or no such device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    handle = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(handle), device):
        return None
    return ".".join(str(_attribute(driver, handle, which)) for which in (_MAJOR, _MINOR))


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value
