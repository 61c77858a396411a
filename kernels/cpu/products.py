"""Products of rows of x that lie scattered: x w, and x^T g. A number is one chain of multiply-adds in a fixed order.

A row is given by the address of its first number. The lock of the interpreter is released meanwhile.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats
from milk_np.kernels.cpu.blocks import backward_depth, backward_span, forward_depth
from milk_np.kernels.cpu.microkernel import PACKED, PERIOD, SCATTERED, columns_of
from milk_np.kernels.cpu.packing import pack_rows, packed_gradient, zeros
from milk_np.kernels.cpu.prefetch import LINE_BYTES, prefetch_line
from milk_np.kernels.cpu.tile import FETCHED, HALF, packed_sums, scattered_half, scattered_tile

Addresses = NDArray[np.int64]

ROW_BLOCK = 16 * SCATTERED.rows
"""Rows of a task of the forward product at most: their sums stay in the first level, and few pages are looked up."""


def forward(addresses: Addresses, scale: Floats, panels: Floats, width: int, bias: Floats, out: Floats) -> None:
    """`out` (n, K) = diag(scale) x W + bias; `panels` are those of W (`width`, K), see `packed_weight`."""
    depth = forward_depth(max(1, len(panels) // max(1, width)), panels.itemsize)
    bounds = task_bounds(len(addresses), SCATTERED.rows, ROW_BLOCK)
    _forward(addresses, scale, panels, width, bias, out, bounds, depth)


def backward(addresses: Addresses, scale: Floats, g: Floats, dweight: Floats, add: bool) -> None:
    """`dweight` (D, K) = x^T diag(scale) g, or += if `add`."""
    panels, depth = packed_gradient(g, scale), backward_depth(g.itemsize)
    bounds = task_bounds(len(dweight), columns_of(PACKED, g.itemsize), backward_span(g.shape[1], g.itemsize))
    _backward(addresses, panels, dweight, add, bounds, depth)


def task_bounds(size: int, tile: int, most: int) -> NDArray[np.int64]:
    """Where tasks of at most `most` of `size` rows begin and end: whole tiles, equally many tasks for each thread.

    With two threads and 22 tasks of one size, the last one shorter, a thread waits 3 to 6 % of the time for the other.
    """
    tiles, threads = -(-size // tile), get_num_threads()
    tasks = min(tiles, threads * -(-tiles // (threads * (most // tile))))
    bounds: NDArray[np.int64] = np.minimum(np.arange(tasks + 1) * tiles // max(tasks, 1) * tile, size)
    return bounds


@njit(parallel=True, cache=True, nogil=True)
def _forward(
    addresses: Addresses,
    scale: Floats,
    panels: Floats,
    width: int,
    bias: Floats,
    out: Floats,
    bounds: NDArray[np.int64],
    depth: int,
) -> None:
    for task in prange(len(bounds) - 1):
        low, high = bounds[task], bounds[task + 1]
        _forward_rows(addresses[low:high], scale[low:high], panels, width, bias, out[low:high], depth)


@njit(cache=True, nogil=True)
def _forward_rows(
    addresses: Addresses, scale: Floats, panels: Floats, width: int, bias: Floats, out: Floats, depth: int
) -> None:
    n, rows, columns = len(addresses), SCATTERED.rows, len(panels) // max(1, width)
    place = np.empty(ROW_BLOCK + rows, np.int64)  # the last row stands in for what fills up the last tile
    for r in range(ROW_BLOCK + rows):
        place[r] = addresses[min(r, n - 1)]
    acc = zeros(ROW_BLOCK * columns, panels).reshape(ROW_BLOCK, columns)
    for d in range(0, width, depth):
        for r in range(0, n, rows):
            _forward_tiles(place, r, d, min(depth, width - d), panels, width, acc)
    for r in range(n):
        for k in range(out.shape[1]):
            out[r, k] = scale[r] * acc[r, k] + bias[k]


@njit(cache=True)
def _forward_tiles(place: Addresses, r: int, d: int, steps: int, panels: Floats, width: int, acc: Floats) -> None:
    """Add the products of `steps` numbers from the d-th on of a tile's rows, all columns."""
    whole, half = columns_of(SCATTERED, panels.itemsize), columns_of(HALF, panels.itemsize)
    k = 0
    while k + whole <= acc.shape[1]:
        scattered_tile(place, r, d, panels, k * width + d * whole, acc, r, k, steps)
        k += whole
    if k < acc.shape[1]:
        scattered_half(place, r, d, panels, k * width + d * half, acc, r, k, steps)


@njit(parallel=True, cache=True, nogil=True)
def _backward(
    addresses: Addresses, g: Floats, dweight: Floats, add: bool, bounds: NDArray[np.int64], depth: int
) -> None:
    for task in prange(len(bounds) - 1):
        _backward_columns(addresses, g, dweight, add, bounds[task], bounds[task + 1], depth)


@njit(cache=True, nogil=True)
def _backward_columns(
    addresses: Addresses, g: Floats, dweight: Floats, add: bool, low: int, high: int, depth: int
) -> None:
    """Rows `low` ... `high - 1` of dweight."""
    n, columns = len(addresses), columns_of(PACKED, g.itemsize)
    padded = -(-(high - low) // columns) * columns
    x = zeros(depth * padded, g)
    acc = zeros(len(g) // n * padded, g).reshape(len(g) // n, padded)
    for first in range(0, n, depth):
        steps = min(depth, n - first)
        pack_rows(addresses, first, steps, low, high - low, depth, x)
        if first + depth < n:
            coming, column, end = first + depth, low, high
        else:
            coming, column, end = 0, high, min(2 * high - low, len(dweight))
        rows = addresses[coming : min(coming + depth, n) if column < end else coming]
        _backward_tiles(g, n, first, steps, x, depth, acc, rows + column * g.itemsize, (end - column) * g.itemsize)
    for d in range(high - low):
        for k in range(dweight.shape[1]):
            dweight[low + d, k] = dweight[low + d, k] + acc[k, d] if add else acc[k, d]


@njit(cache=True)
def _backward_tiles(
    g: Floats, n: int, first: int, steps: int, x: Floats, depth: int, acc: Floats, coming: Addresses, coming_bytes: int
) -> None:
    """Add the products of a block of rows. The `coming` ones, so many bytes of each, are fetched meanwhile.

    Evenly: each tile asks for the lines of one window. What tiles can't take is asked for between them.
    """
    columns, rows = columns_of(PACKED, g.itemsize), PACKED.rows
    window = max(1, steps // PERIOD) * FETCHED * LINE_BYTES
    windows = max(1, -(-coming_bytes // window))
    tiles, tile, asked, near = len(acc) // rows * (acc.shape[1] // columns), 0, 0, np.int64(g.ctypes.data)
    for column in range(0, acc.shape[1], columns):
        for row in range(0, len(acc), rows):
            tile += 1
            due = tile * len(coming) * windows // tiles
            while asked < due:
                near = coming[asked // windows] + asked % windows * window
                asked += 1
                if asked < due:
                    _fetch(near, window)
            packed_sums(g, row * n + first * rows, x, column * depth, acc, row, column, steps, near)


@njit(cache=True)
def _fetch(address: int, count: int) -> None:
    """Ask for `count` bytes."""
    for offset in range(0, count, LINE_BYTES):
        prefetch_line(address + offset)
