"""Memory of the device: what is available, and allocation with a clear error."""

from __future__ import annotations

import math

import cupy
import numpy as np
from numpy.typing import DTypeLike

from milk_np.errors import OutOfMemoryError
from milk_np.kernels.arrays import Array
from milk_np.text import bytes_text


def free_bytes() -> int:
    """Bytes that can still be allocated on the current device; a limit of CuPy's pool is honoured.

    Blocks that the pool keeps count as free: it gives them back when it runs short.
    """
    pool = cupy.get_default_memory_pool()
    free = cupy.cuda.Device().mem_info[0] + pool.free_bytes()
    limit = pool.get_limit()
    return int(min(free, limit - pool.used_bytes()) if limit else free)


def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised array on the device. Raises OutOfMemoryError with the requested and available memory."""
    try:
        return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError:
        asked = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        raise OutOfMemoryError(
            f"the GPU has no memory for another {bytes_text(asked)}: {numbers()}; lower --batch-size or --dim, or "
            "use --device cpu"
        ) from None


def numbers() -> str:
    """Memory in use by this process, memory available, and the limit of CuPy's pool if there is one."""
    pool = cupy.get_default_memory_pool()
    limit = f", CuPy's limit {bytes_text(pool.get_limit())}" if pool.get_limit() else ""
    return f"{bytes_text(pool.used_bytes())} in use by this process, {bytes_text(free_bytes())} available{limit}"
