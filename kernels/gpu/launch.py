"""Compiles the CUDA C next to this file on first use, and launches it on CuPy's current stream."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.reference.adam import BETA1, BETA2, EPSILON
from milk_np.kernels.reference.content import SHORTEST_ROW
from milk_np.kernels.reference.histories import SMALL
from milk_np.kernels.reference.sampling import ROUNDS, TRIES

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'#include "(\w+\.cuh)"')
OPTIONS = ("--std=c++17",)
ACCESS_BYTES = 16
"""The most that a thread can move at once."""
WARP = 32
SHARED_BYTES = 40 << 10
"""Shared memory that a launch gets without asking for more: 48 KB, less what kernels have of their own."""
BLOCKS = (256, 128, 512)
"""Threads a block to choose from; of equals the first is taken."""

CONSTANTS: dict[str, dict[str, str | int | float]] = {
    "adam": {"BETA1": BETA1, "BETA2": BETA2, "EPSILON": EPSILON},
    "content": {"SHORTEST_ROW": SHORTEST_ROW},
    "histories": {"SMALL": SMALL},
    "sampling": {"ROUNDS": ROUNDS, "TRIES": TRIES},
}
"""Numbers of the references that the CUDA C takes over, by family."""

Defines = tuple[tuple[str, str | int | float], ...]


def source(family: str) -> str:
    """CUDA C of a family, with what it includes put in its place; compilers name files and lines as they are here."""
    return _with_includes(f"{family}.cu")


def _with_includes(name: str) -> str:
    text = f'#line 1 "{name}"\n'
    for number, line in enumerate((FOLDER / name).read_text(encoding="utf-8").splitlines(), 1):
        included = INCLUDE.fullmatch(line)
        text += f'{_with_includes(included[1])}#line {number + 1} "{name}"\n' if included else f"{line}\n"
    return text


def options(family: str, defines: Defines) -> tuple[str, ...]:
    """The compiler's options for a family under these definitions."""
    every = {**CONSTANTS.get(family, {}), **dict(defines)}
    return (*OPTIONS, *(f"-D{name}={value}" for name, value in every.items()))


@cache
def _module(family: str, defines: Defines) -> Any:
    return cupy.RawModule(code=source(family), options=options(family, defines))


@cache
def _block(family: str, name: str, defines: Defines, device: int) -> int:
    """Threads a block with which most threads are resident on a multiprocessor of `device`."""
    pointer = _module(family, defines).get_function(name).kernel.ptr
    resident = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
    return max(BLOCKS, key=lambda threads: int(threads * resident(pointer, threads, 0)))


class Kernel:
    """One kernel of a family, compiled for a number type and an access width."""

    def __init__(self, family: str, name: str, **defines: str | int) -> None:
        self.name = name
        self._key = family, name, tuple(defines.items())
        self._function = _module(family, self._key[2]).get_function(name)

    def threads(self, count: int, *arguments: Any) -> None:
        """Launch at least `count` threads; nothing if that is none."""
        if count > 0:
            block = _block(*self._key, cupy.cuda.runtime.getDevice())
            self._function((-(-count // block),), (block,), arguments)

    def blocks(self, grid: int | tuple[int, ...], block: int, *arguments: Any, shared: int = 0) -> None:
        """Launch `grid` blocks of `block` threads with `shared` bytes of memory each; nothing if there are none."""
        grid = (grid,) if isinstance(grid, int) else grid
        if all(grid):
            self._allow(shared)
            self._function(grid, (block,), arguments, shared_mem=shared)

    def resident(self, threads: int, shared: int = 0) -> int:
        """Blocks of `threads` threads with `shared` bytes each that a multiprocessor holds at a time."""
        self._allow(shared)
        count = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
        return int(count(self._function.kernel.ptr, threads, shared))

    @property
    def registers(self) -> int:
        """Registers of a thread."""
        return int(self._function.num_regs)

    def _allow(self, shared: int) -> None:
        """More shared memory than a launch gets unasked."""
        if shared > SHARED_BYTES:
            self._function.max_dynamic_shared_size_bytes = shared


def multiprocessors() -> int:
    """Multiprocessors of the current device."""
    runtime = cupy.cuda.runtime
    return int(runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, runtime.getDevice()))


@cache
def kernel(family: str, name: str, **defines: str | int) -> Kernel:
    """The kernel `name` of `family`.cu under these definitions."""
    return Kernel(family, name, **defines)


def real(dtype: Any) -> str:
    """Name in C of a floating point type."""
    return {"f": "float", "d": "double"}[np.dtype(dtype).char]


def access(width: int, *arrays: Array) -> int:
    """Numbers that a thread moves at once: 16 bytes of the widest type, if all rows start on such a boundary."""
    size = max(array.itemsize for array in arrays)
    vec: int = ACCESS_BYTES // size
    while vec > 1 and (width % vec or any(array.data.ptr % (vec * array.itemsize) for array in arrays)):
        vec //= 2
    return vec


def row_step(rows: Array) -> int:
    """Elements from the start of a row of `rows` (G, n) to that of the next."""
    return int(rows.strides[0] // rows.itemsize)


def lanes(width: int, vec: int) -> int:
    """Threads that share a row of `width` numbers: a power of two, a warp at most."""
    threads = 1 << max(0, -(-width // vec) - 1).bit_length()
    return min(WARP, threads)


def rows_kernel(family: str, name: str, width: int, *arrays: Array) -> tuple[Kernel, np.int32]:
    """The kernel for rows of `width` numbers of the type of `arrays`, and the lanes that share one of them."""
    vec = access(width, *arrays)
    return kernel(family, name, REAL=real(arrays[0].dtype), VEC=vec), np.int32(lanes(width, vec))


_stores: dict[tuple[int, str, str], Array] = {}


def zeros(name: str, count: int, dtype: Any = np.int32) -> Array:
    """Scratch that is zero, and that the kernel which takes it leaves zero; kept for the next call.

    Calls that use the same name have to be on one stream.
    """
    key = cupy.cuda.runtime.getDevice(), name, np.dtype(dtype).char
    store = _stores.get(key)
    if store is None or store.size < count:
        store = _stores[key] = cupy.zeros(count + count // 8, dtype)
    return store


def scratch() -> list[Array]:
    """All scratch that `zeros` keeps at present."""
    return list(_stores.values())
