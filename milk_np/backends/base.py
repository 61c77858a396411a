"""Where arrays are stored and which kernels work on them.

The engine is one program of kernel calls on a backend's arrays. `backends.numba` runs it with Numba kernels, or
with the plain NumPy references for gradient checks; `backends.cupy` with CUDA C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = Any
"""An array of the backend: a NumPy array, or its counterpart on the device."""

ALIGNMENT = 64
"""Alignment of tables in bytes, so that no vector of the widest registers straddles two cache lines."""
ALIGNED = ALIGNMENT
"""Numbers to whose multiple parts of one array are rounded up, so that each starts aligned, whatever its type."""


class Backend(ABC):
    """Arrays and kernels of one device."""

    name: str
    """The device's name in the settings."""
    kernels: Any
    """Module with the functions of `milk_np.kernels`."""
    captures: ClassVar[bool] = False
    """Whether launches of kernels can be captured and replayed; `kernels` then has the module `replay`."""

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and copying: a module goes by its name."""
        return {**vars(self), "kernels": self.kernels.__name__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, kernels=import_module(state["kernels"]))

    @classmethod
    def opened(cls, threads: int = 0) -> Self:
        """The backend, computing with `threads` of the host where that matters (0: as many as there are).

        Raises DeviceError, with the cause, if the device can't be used.
        """
        return cls()

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised array."""

    @abstractmethod
    def asarray(self, values: Any, dtype: DTypeLike | None = None) -> Array:
        """`values` as an array of this backend, copied only if needed."""

    @abstractmethod
    def to_host(self, array: Array) -> NDArray[Any]:
        """`array` as a NumPy array."""

    @abstractmethod
    def require(self, need: Mapping[str, int]) -> None:
        """Raise OutOfMemoryError, with the numbers, if `need` (bytes by purpose) isn't free on the device."""

    @abstractmethod
    def features(self, raw: NDArray[Any], reserve: int = 0) -> Array:
        """Raw feature rows, stored where `extract` reads them; `reserve` bytes of the device are left free."""

    def resident(self, features: Array) -> bool:
        """Whether feature rows are stored where the kernels run, and aren't streamed in parts."""
        return True

    def aside(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work` concurrently with what follows, until the returned function is called; here, at once."""
        work()
        return lambda: None

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, which launches kernels whose arguments never change, in the form that is fastest to repeat."""
        return work

    def top_k(
        self,
        queries: NDArray[np.float32],
        items: NDArray[np.float32],
        k: int,
        exclude_indptr: NDArray[np.int64] | None = None,
        exclude: NDArray[np.int32] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The kernel `top_k` on arrays of the host."""
        index, score = self.kernels.top_k(queries, items, k, exclude_indptr, exclude)
        return self.to_host(index), self.to_host(score)

    def offsets(self, indptr: NDArray[np.int64]) -> Array:
        """Offsets of compressed rows, in the integer type of this backend's sampling kernel."""
        return self.asarray(indptr, np.int64)

    def host_buffer(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array of the host, through which arrays of this backend travel fastest."""
        return np.empty(shape, dtype)

    def synchronize(self) -> None:  # noqa: B027 - the host has nothing to wait for
        """Wait until what was asked of the device is done."""

    def full(self, shape: int | tuple[int, ...], value: float, dtype: DTypeLike) -> Array:
        """An array filled with `value`."""
        out = self.empty(shape, dtype)
        out[...] = value
        return out

    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array of zeros."""
        return self.full(shape, 0, dtype)

    def copy(self, array: Array) -> Array:
        """A copy of `array`, aligned like any new one."""
        out = self.empty(array.shape, array.dtype)
        out[...] = array
        return out


class Scratch:
    """Arrays that every step reuses: the same name gives the same memory."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stores: dict[tuple[str, np.dtype[Any]], Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised array, valid until the name is taken again."""
        key = name, np.dtype(dtype)
        count = int(np.prod(shape))
        store = self._stores.get(key)
        if store is None or store.size < count:
            store = self._stores[key] = self._backend.empty(count + count // 8, dtype)
        return store[:count].reshape(shape)
