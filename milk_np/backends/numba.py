"""The CPU: NumPy arrays, with Numba kernels or the plain references."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backends.base import ALIGNMENT, Array, Backend


class NumpyBackend(Backend):
    """NumPy arrays; kernels "cpu" (Numba) or "reference" (NumPy)."""

    name = "cpu"

    def __init__(self, kernels: Literal["cpu", "reference"] = "cpu", threads: int = 0) -> None:
        """`threads` for Numba; 0 leaves the number unchanged."""
        self.kernels = import_module(f"milk_np.kernels.{kernels}")
        if threads and kernels == "cpu":
            self.kernels.set_threads(threads)

    @classmethod
    def opened(cls, threads: int = 0) -> Self:
        """Numba's kernels on `threads` threads."""
        return cls(threads=threads)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array that starts on an `ALIGNMENT` boundary."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape))
        store = np.empty(count * dtype.itemsize + ALIGNMENT, np.uint8)
        skip = -store.ctypes.data % ALIGNMENT
        return store[skip : skip + count * dtype.itemsize].view(dtype).reshape(shape)

    def asarray(self, values: Any, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """`values` as a C-contiguous NumPy array; a memory map stays one."""
        return np.asanyarray(values, dtype=dtype, order="C")

    def offsets(self, indptr: NDArray[np.int64]) -> NDArray[Any]:
        """Offsets in 32 bits if they fit: half the memory, and negatives are drawn twice as fast."""
        return self.asarray(indptr, np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64)

    def to_host(self, array: Array) -> NDArray[Any]:
        """`array` itself."""
        return np.asarray(array)

    def require(self, need: Mapping[str, int]) -> None:
        """Do nothing: the commands already check the memory of the host."""

    def features(self, raw: NDArray[Any], reserve: int = 0) -> NDArray[Any]:
        """`raw` itself, C-contiguous; a memory map stays one."""
        return self.asarray(raw)
