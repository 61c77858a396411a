"""The backend of a device, and the reason if a GPU can't be used."""

from __future__ import annotations

from milk_np.backends import driver
from milk_np.backends.base import Backend
from milk_np.backends.numba import NumpyBackend
from milk_np.errors import DeviceError


def get_backend(device: str = "cpu", threads: int = 0) -> Backend:
    """Backend of `device`: "cpu", "gpu" or "auto" (the GPU if it can be used).

    Raises DeviceError, with the cause, if a GPU is requested and can't be used.
    """
    problem = gpu_problem() if device != "cpu" else None
    if device == "gpu" and problem is not None:
        raise DeviceError(f"--device gpu: {problem}; or compute on the CPU: --device cpu")
    if device != "cpu" and problem is None:
        from milk_np.backends.cupy import CupyBackend

        return CupyBackend()
    return NumpyBackend(threads=threads)


def gpu_problem() -> str | None:
    """Why no GPU can be used, and what to do about it; None if one can. Loads CuPy if it is installed."""
    found = driver.cupy_problem()
    if found is not None:
        missing = driver.driver_problem()
        return f"{missing}; also, {found}" if missing else found
    try:
        from milk_np.backends.cupy import problem
    except ImportError as error:
        return f"CuPy is installed but can't be loaded: {error}; install it again: {driver.INSTALL}"
    return problem()
