"""Checks of the way to an NVIDIA GPU without importing CuPy: its package, the driver, devices."""

from __future__ import annotations

import ctypes
import os
import re
from importlib import metadata
from importlib.util import find_spec

DRIVER = "libcuda.so.1"
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")
INSTALL = 'pip install "milk-np[gpu]" (CUDA 13) or "milk-np[gpu12]" (CUDA 12)'
LIBRARIES = 'pip install "cupy-cuda13x[ctk]" (or "cupy-cuda12x[ctk]") installs it, as does the CUDA toolkit'
OLDEST = 75
"""Minimum compute capability of the kernels: Turing, 2018."""
_NO_DEVICE = 100


def cupy_distributions() -> list[str]:
    """The installed distributions of CuPy, with versions; more than one is an error."""
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


def version_problem(library: str = DRIVER) -> str | None:
    """What is wrong if CuPy was built for a newer CUDA than the driver supports; None if it wasn't."""
    driver, wanted = driver_cuda(library), cupy_cuda()
    if driver is None or wanted is None or driver >= (wanted, 0):
        return None
    have = ".".join(map(str, driver))
    return (
        f"{cupy_distributions()[0]} is for CUDA {wanted}, the driver supports at most CUDA {have}: install CuPy for it "
        f'(pip install "milk-np[gpu12]" for CUDA 12, after uninstalling the other), or a newer driver'
    )


def age_problem(name: str, capability: int) -> str | None:
    """What is wrong with a device whose compute capability, such as 61 for 6.1, is too low for the kernels."""
    if capability >= OLDEST:
        return None
    have, need = (f"{number // 10}.{number % 10}" for number in (capability, OLDEST))
    return f"{name} is too old: its compute capability is {have}, at least {need} is needed (Turing, 2018, or newer)"


def driver_cuda(library: str = DRIVER) -> tuple[int, int] | None:
    """Newest CUDA, as (major, minor), that the driver supports; None without a driver."""
    version = ctypes.c_int()
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return None
    if driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version.value // 1000, version.value % 1000 // 10


def cupy_cuda() -> int | None:
    """Major CUDA version of the installed CuPy; None if its name doesn't say."""
    found = [match for text in cupy_distributions() if (match := re.match(r"cupy-cuda(\d+)x ", text))]
    return int(found[0][1]) if found else None


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
