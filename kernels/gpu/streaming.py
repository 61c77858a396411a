"""Feature rows that don't fit the device: they stay in host memory and pass through two pinned buffers.

While one buffer is on its way to the device, the host fills the other; the device works on the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy
import cupyx
import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.memory import empty

STAGED_BYTES = 1 << 25
"""Size of a buffer: large enough for the bus to be at full speed, small against the device's memory."""


class HostRows:
    """Raw rows (I, D) of a modality on the host, maybe a memory map, in the place of an array on the device."""

    def __init__(self, rows: NDArray[np.floating[Any]]) -> None:
        self._rows = rows
        self.shape, self.dtype = rows.shape, rows.dtype
        self._buffers: list[_Buffer] = []

    def staged(self, source: Array, rows: Array) -> Iterator[tuple[slice, Array]]:
        """Raw rows that the table has for the items `rows` (n), part by part, on the device.

        An item whose row is a filled one (`source` < 0) gets any row in its place. Which rows are wanted has to be
        known on the host, so this waits for the device once. What is yielded is good until the next part but one.
        """
        wanted = np.maximum(cupy.asnumpy(source[rows]), 0)
        step = max(1, min(self.shape[0], STAGED_BYTES // (self.shape[1] * self.dtype.itemsize)))
        if not self._buffers:
            self._buffers = [_Buffer((step, self.shape[1]), self.dtype) for _ in range(2)]
        for turn, start in enumerate(range(0, len(wanted), step)):
            part = slice(start, min(start + step, len(wanted)))
            buffer = self._buffers[turn % 2]
            yield part, buffer.send(self._rows, wanted[part])
            buffer.used()


class _Buffer:
    """Pinned memory, its twin on the device, and the events that keep either from being overwritten too soon."""

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike) -> None:
        self._host = cupyx.empty_pinned(shape, dtype)
        self._device = empty(shape, dtype)
        self._bus = cupy.cuda.Stream(non_blocking=True)
        self._sent, self._used = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.used()  # this memory may have been another array's, which what was launched before still reads

    def send(self, rows: NDArray[Any], wanted: NDArray[np.integer[Any]]) -> Array:
        """`rows[wanted]` on the device, ready for what is launched next on the current stream."""
        n = len(wanted)
        self._sent.synchronize()  # the pinned memory may still be read
        np.take(rows, wanted, axis=0, out=self._host[:n], mode="clip")
        self._bus.wait_event(self._used)
        self._device[:n].set(self._host[:n], stream=self._bus)
        self._sent.record(self._bus)
        cupy.cuda.get_current_stream().wait_event(self._sent)
        return self._device[:n]

    def used(self) -> None:
        """What was launched so far is all that reads the device's twin."""
        self._used.record()
