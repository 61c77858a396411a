"""What stands between this process and an NVIDIA GPU, told without CuPy: its package, the driver, devices."""

from __future__ import annotations

import ctypes
import os
from importlib import metadata
from importlib.util import find_spec

DRIVER = "libcuda.so.1"
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")
INSTALL = 'pip install "milk-np[gpu]" (CUDA 13) or "milk-np[gpu12]" (CUDA 12)'
_NO_DEVICE = 100


def cupy_distributions() -> list[str]:
    """The installed distributions that bring CuPy, with versions; more than one is a fault."""
    found = []
    for name in CUPY:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def cupy_problem() -> str | None:
    """What is wrong with the installation of CuPy, and what to do; None if it can be imported."""
    found = cupy_distributions()
    if len(found) > 1:
        return f"several CuPy distributions are installed ({', '.join(found)}); uninstall all but one"
    if find_spec("cupy") is None:
        return f"CuPy is not installed: {INSTALL}"
    return None


def driver_problem(library: str = DRIVER) -> str | None:
    """Why the NVIDIA driver offers no device; None if it offers one."""
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"no NVIDIA driver: {library} can't be loaded; install the driver, or run on a machine with a GPU"
    code = driver.cuInit(0)
    if code == _NO_DEVICE:
        return f"the NVIDIA driver finds no device{_hidden()}"
    if code:
        return f"the NVIDIA driver doesn't start (cuInit returned {code}); see nvidia-smi"
    return None if device_names(library) else f"the NVIDIA driver offers no device{_hidden()}"


def device_names(library: str = DRIVER) -> list[str]:
    """Names of the devices that the driver offers; empty without a driver."""
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return []
    count, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [
        name.value.decode(errors="replace")
        for device in range(count.value)
        if driver.cuDeviceGetName(name, 256, device) == 0
    ]


def _hidden() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r} hides the others)"
