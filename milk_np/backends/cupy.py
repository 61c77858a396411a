"""The GPU through CuPy: arrays on the device, kernels in CUDA C. Importing this file loads CuPy.

Only `milk_np.backends.select` imports it, when a GPU is requested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import cupy
import cupyx
import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backends import driver as devices
from milk_np.backends.base import Array, Backend
from milk_np.data.rows import row_blocks
from milk_np.errors import OutOfMemoryError
from milk_np.kernels.gpu.capture import Recorded, aside
from milk_np.kernels.gpu.memory import empty, free_bytes, numbers
from milk_np.kernels.gpu.streaming import HostRows
from milk_np.text import bytes_text


class CupyBackend(Backend):
    """CuPy arrays on the current device; kernels "gpu"."""

    name = "gpu"
    captures = True

    def __init__(self) -> None:
        self.kernels = import_module("milk_np.kernels.gpu")

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised array on the device."""
        return empty(shape, dtype)

    def asarray(self, values: Any, dtype: DTypeLike | None = None) -> Array:
        """`values` as a C-contiguous array on the device, copied in blocks of rows because of large memory maps."""
        if isinstance(values, cupy.ndarray):
            return cupy.ascontiguousarray(values, dtype)
        values = np.asanyarray(values)
        out = self.empty(values.shape, values.dtype if dtype is None else dtype)
        if values.ndim < 2:
            out.set(np.asarray(values, out.dtype, order="C"))
            return out
        for block in row_blocks(len(values), values[:1].size):
            out[block].set(np.ascontiguousarray(values[block], out.dtype))
        return out

    def to_host(self, array: Array) -> NDArray[Any]:
        """`array` as a NumPy array."""
        return cupy.asnumpy(array)  # type: ignore[no-any-return]

    def host_buffer(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Pinned memory, which the device reads and writes without the host's help."""
        return cupyx.empty_pinned(shape, dtype)  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        """Wait for the current stream."""
        cupy.cuda.get_current_stream().synchronize()

    def require(self, need: Mapping[str, int]) -> None:
        """Raise OutOfMemoryError with the numbers if the device lacks the memory for training, apart from features."""
        total = sum(need.values())
        if total > free_bytes():
            largest = max(need, key=lambda name: need[name])
            raise OutOfMemoryError(
                f"training needs about {bytes_text(total)} on the GPU on top of the features, the largest part is "
                f"{largest} ({bytes_text(need[largest])}): {numbers()}; lower --dim or --batch-size, or --device cpu"
            )

    def resident(self, features: Array) -> bool:
        """Whether feature rows are on the device."""
        return not isinstance(features, HostRows)

    def aside(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work` on a branch of the graph being captured, if there is one; otherwise at once."""
        return aside(work)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, which the device captures as a graph at the second call."""
        return Recorded(work)

    def features(self, raw: NDArray[Any], reserve: int = 0) -> Array:
        """Raw rows on the device; on the host, to be streamed, if fewer than `reserve` bytes would stay free."""
        return HostRows(raw) if raw.nbytes + reserve > free_bytes() else self.asarray(raw)


def problem() -> str | None:
    """Why CuPy, which is installed, can't compute on a GPU here, and what to do; None if it can."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return devices.driver_problem() or devices.version_problem() or f"CUDA doesn't start: {error}"
    if count == 0:
        return devices.driver_problem() or "CUDA finds no device"
    return devices.age_problem(_name(), int(cupy.cuda.Device().compute_capability)) or _library_problem()


def description() -> str:
    """Name, compute capability and memory of the current device."""
    device = cupy.cuda.Device()
    capability = f"{device.compute_capability[:-1]}.{device.compute_capability[-1]}"
    free, total = device.mem_info
    memory = f"{bytes_text(free)} of {bytes_text(total)} free"
    return f"{_name()}, compute capability {capability}, {memory}, CuPy {cupy.__version__}"


def _name() -> str:
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _library_problem() -> str | None:
    """What is wrong with the libraries that compile kernels and multiply matrices; None if they can be loaded."""
    try:
        cupy.cuda.nvrtc.getVersion()
        import_module("cupy.cublas")
    except ImportError as error:
        first = str(error).partition("\n")[0]
        return f"CuPy can't load a library of CUDA ({first}): {devices.LIBRARIES}"
    return None
