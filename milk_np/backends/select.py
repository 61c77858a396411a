"""The backend of a device, and the reason if a GPU can't be used."""

from __future__ import annotations

from importlib import import_module

from milk_np.backends import driver
from milk_np.backends.base import Backend
from milk_np.errors import DeviceError
from milk_np.settings.names import DEVICES


def get_backend(device: str = "cpu", threads: int = 0) -> Backend:
    """Backend of `device`: one of DEVICES, or "auto" (the GPU if it can be used).

    Raises DeviceError, with the cause, if a GPU is requested and can't be used.
    """
    problem = gpu_problem() if device in ("gpu", "auto") else None
    if device == "gpu" and problem is not None:
        raise DeviceError(f"--device gpu: {problem}; or compute on the CPU: --device cpu")
    if device == "auto":
        device = "cpu" if problem else "gpu"
    module, _, name = DEVICES[device].partition(":")
    backend: type[Backend] = getattr(import_module(module), name)
    return backend.opened(threads)


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
