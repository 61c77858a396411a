"""Products with rows of a feature table, multiplied in place (contract: kernels/reference/extract.py).

Every number of a result is one chain of multiply-adds in a fixed order, whatever the number of threads. The lock of
the interpreter is released meanwhile, so that the next batch's rows can be read ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.gathering import gather_half, gather_rows
from milk_np.kernels.cpu.tile import (
    AHEAD,
    PANEL,
    ROWS,
    VECTOR_BYTES,
    backward_panel,
    backward_panel_row,
    backward_vector,
    backward_vector_row,
    forward_panel,
    forward_vector,
)
from milk_np.kernels.modalities import each_modality

ROW_BLOCK = 16 * ROWS  # rows of one task of the forward product, at most: their sums stay in the first-level cache
DEPTH = 512  # elements of a row between two visits of its sums: so much of the weight stays in the second level
SPAN = 32 * ROWS  # columns of x of one task of the backward product, at most
ROW_DEPTH = AHEAD  # rows between two visits of a task's sums
WIDEN_BYTES = 4 << 20  # buffer through which rows of another type pass, small enough for the last-level cache


def extract(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    weight: Floats,
    bias: Floats,
    out: Floats,
) -> None:
    """c = x W + b for the rows `rows`, into `out`."""
    if raw.dtype == weight.dtype and fill.dtype == weight.dtype:
        addresses = _addresses(raw, fill, source, rows)
        _forward(addresses, scale[rows], _padded(weight), bias, out, task_bounds(len(rows), ROW_BLOCK))
        return
    for part in _parts(raw, rows, weight):
        buffer = _widened(raw, fill, source, scale, rows[part], weight)
        bounds = task_bounds(len(buffer), ROW_BLOCK)
        _forward(_addresses_of(buffer), _ones(buffer), _padded(weight), bias, out[part], bounds)


def extract_backward(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    dout: Floats,
    dweight: Floats,
    dbias: Floats,
    cache: Any = None,
) -> None:
    """dW = x^T dout and db = sum of dout, for the rows `rows`, into `dweight` and `dbias`."""
    _column_sums(dout, dbias)
    if not len(rows):
        dweight[...] = 0
        return
    bounds = task_bounds(raw.shape[1], SPAN)
    if raw.dtype == dweight.dtype and fill.dtype == dweight.dtype:
        addresses = _addresses(raw, fill, source, rows)
        _backward(addresses, _scaled(dout, scale[rows]), dweight, False, bounds)
        return
    dweight[...] = 0
    for part in _parts(raw, rows, dweight):
        buffer = _widened(raw, fill, source, scale, rows[part], dweight)
        _backward(_addresses_of(buffer), _scaled(dout[part], _ones(buffer)), dweight, True, bounds)


extract_all, extract_all_backward = each_modality(extract, extract_backward)


def gather(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, out: Floats) -> Floats:
    """Rows `rows` of the virtual table, widened to the type of `out`, into `out`."""
    if raw.dtype == np.float16:
        gather_half(raw.view(np.uint16), fill, source, scale, rows, out)
    else:
        gather_rows(raw, fill, source, scale, rows, out)
    return out


def _base(table: Floats) -> int:
    return int(table.ctypes.data) if table.size else 0


def _lanes(like: Floats) -> int:
    return VECTOR_BYTES // like.itemsize


def _ones(buffer: Floats) -> Floats:
    return np.ones(len(buffer), np.float32)


def _parts(raw: Floats, rows: Ints, like: Floats) -> list[slice]:
    """Slices of `rows` whose widened rows fit the buffer."""
    size = max(ROWS, WIDEN_BYTES // (raw.shape[1] * like.itemsize))
    return [slice(i, min(i + size, len(rows))) for i in range(0, len(rows), size)]


def _widened(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, like: Floats) -> Floats:
    return gather(raw, fill, source, scale, rows, np.empty((len(rows), raw.shape[1]), like.dtype))


def _scaled(g: Floats, scale: Floats) -> Floats:
    """Rows of `g` times `scale`, columns filled up with zeros to whole vectors; starts on a vector boundary."""
    n, K = g.shape
    lanes = _lanes(g)
    columns = -(-K // lanes) * lanes
    store = np.empty(n * columns + lanes, g.dtype)
    skip = -store.ctypes.data % VECTOR_BYTES // g.itemsize
    out = store[skip : skip + n * columns].reshape(n, columns)
    out[:, K:] = 0
    np.multiply(g, scale[:, None], out=out[:, :K])
    return out


def _padded(weight: Floats) -> Floats:
    """`weight` with its columns filled up to whole vectors; itself where they are whole."""
    lanes = _lanes(weight)
    missing = -weight.shape[1] % lanes
    return np.pad(weight, ((0, 0), (0, missing))) if missing else weight


def _addresses(raw: Floats, fill: Floats, source: Ints, rows: Ints) -> NDArray[np.int64]:
    """Address of each row of the virtual table."""
    row_bytes, origin = raw.shape[1] * raw.itemsize, source[rows].astype(np.int64)
    out: NDArray[np.int64] = np.where(origin >= 0, _base(raw) + origin * row_bytes, _base(fill) + ~origin * row_bytes)
    return out


def _addresses_of(buffer: Floats) -> NDArray[np.int64]:
    step = buffer.strides[0]
    return _base(buffer) + step * np.arange(len(buffer), dtype=np.int64)


def task_bounds(size: int, most: int) -> NDArray[np.int64]:
    """Where tasks of at most `most` of `size` rows begin and end: whole tiles, equally many tasks for each thread.

    With two threads and 22 tasks of one size, the last one shorter, a thread waits 3 to 6 % of the time for the other.
    """
    tiles, threads = -(-size // ROWS), get_num_threads()
    tasks = min(tiles, threads * -(-tiles // (threads * (most // ROWS))))
    bounds: NDArray[np.int64] = np.minimum(np.arange(tasks + 1) * tiles // max(tasks, 1) * ROWS, size)
    return bounds


@njit(parallel=True, cache=True, nogil=True)
def _forward(
    addresses: NDArray[np.int64],
    scale: Floats,
    weight: Floats,
    bias: Floats,
    out: Floats,
    bounds: NDArray[np.int64],
) -> None:
    width, columns = weight.shape
    K = out.shape[1]
    for task in prange(len(bounds) - 1):
        low, count = bounds[task], bounds[task + 1] - bounds[task]
        place = np.empty(ROW_BLOCK + ROWS, np.int64)  # the last row stands in for what fills up the last tile
        for r in range(ROW_BLOCK + ROWS):
            place[r] = addresses[low + min(r, count - 1)]
        acc = np.zeros((ROW_BLOCK, columns), weight.dtype)
        for d in range(0, width, DEPTH):
            _forward_block(place, count, d, min(DEPTH, width - d), weight, acc)
        for r in range(count):
            factor = scale[low + r]
            for k in range(K):
                out[low + r, k] = factor * acc[r, k] + bias[k]


@njit(cache=True)
def _forward_block(place: NDArray[np.int64], count: int, start: int, depth: int, weight: Floats, acc: Floats) -> None:
    """acc += x[:, start:start + depth] weight[start:start + depth] for the `count` rows at `place`."""
    lanes = VECTOR_BYTES // weight.itemsize
    for r in range(0, count, ROWS):
        k = 0
        while k + PANEL * lanes <= weight.shape[1]:
            forward_panel(place, r, start, weight, start, k, acc, r, depth)
            k += PANEL * lanes
        while k < weight.shape[1]:
            forward_vector(place, r, start, weight, start, k, acc, r, depth)
            k += lanes


@njit(parallel=True, cache=True, nogil=True)
def _backward(addresses: NDArray[np.int64], g: Floats, dweight: Floats, add: bool, bounds: NDArray[np.int64]) -> None:
    K, n = dweight.shape[1], len(addresses)
    place = np.empty(n + AHEAD, np.int64)
    for r in range(n + AHEAD):
        place[r] = addresses[min(r, n - 1)]
    for task in prange(len(bounds) - 1):
        low, count = bounds[task], bounds[task + 1] - bounds[task]
        acc = np.zeros((count, g.shape[1]), g.dtype)
        for r in range(0, n, ROW_DEPTH):
            _backward_block(place, r, min(ROW_DEPTH, n - r), low, count, g, acc)
        for d in range(count):
            for k in range(K):
                dweight[low + d, k] = dweight[low + d, k] + acc[d, k] if add else acc[d, k]


@njit(cache=True)
def _backward_block(
    addresses: NDArray[np.int64], first: int, depth: int, low: int, count: int, g: Floats, acc: Floats
) -> None:
    """acc += x[first:first + depth, low:low + count]^T g[first:first + depth]."""
    lanes = VECTOR_BYTES // g.itemsize
    whole = count // ROWS * ROWS
    k = 0
    while k + PANEL * lanes <= g.shape[1]:
        for d in range(0, whole, ROWS):
            backward_panel(addresses, first, low + d, g, first, k, acc, d, depth)
        for d in range(whole, count):
            backward_panel_row(addresses, first, low + d, g, first, k, acc, d, depth)
        k += PANEL * lanes
    while k < g.shape[1]:
        for d in range(0, whole, ROWS):
            backward_vector(addresses, first, low + d, g, first, k, acc, d, depth)
        for d in range(whole, count):
            backward_vector_row(addresses, first, low + d, g, first, k, acc, d, depth)
        k += lanes


@njit(cache=True)
def _column_sums(g: Floats, out: Floats) -> None:
    for k in range(g.shape[1]):
        out[k] = 0
    for r in range(g.shape[0]):
        for k in range(g.shape[1]):
            out[k] += g[r, k]
