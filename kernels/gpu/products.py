"""Products with rows of a feature table that are read where they lie (contract: kernels/reference/extract.py).

Single precision, tables on the device. The order of the additions, and so every bit, follows from the shapes and the
number of the device's multiprocessors alone.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy
import numpy as np

from milk_np.kernels.gpu.launch import Kernel, access, kernel, zeros
from milk_np.kernels.gpu.memory import empty

Array = Any
Table = tuple[Array, Array, Array, Array]

THREADS = 128
TILE, WIDTH, DEPTH = 128, 64, 16
"""Rows and columns of a block's results, and terms of which it has the numbers at once; as in products.cu."""
FAN = 4
"""Sums of splits that a block adds at once."""
SUMS_BYTES = 17 * 16 * THREADS
"""A block's results."""
RESIDENT = 3
"""Blocks that a multiprocessor works on at once."""
LEAST_SLICES = 4
"""Slices of DEPTH terms that are worth a block."""


def forward(table: Table, rows: Array, weight: Array, bias: Array, out: Array) -> None:
    """c = x W + b for the rows `rows`, into `out`; b in rows of nobody."""
    (D, K), n = weight.shape, len(rows)
    tiles = -(-n // TILE), -(-K // WIDTH)
    splits = _splits(tiles[0] * tiles[1], -(-D // DEPTH))
    run = _kernel("rows_forward", table, D, K, weight, bias, out)
    shapes = tuple(map(np.int32, (n, D, K)))
    run.blocks((tiles[0], splits, tiles[1]), THREADS, *table, rows, weight, bias, *shapes, *_sums(tiles, splits), out)


def backward(table: Table, rows: Array, dout: Array, dweight: Array, dbias: Array) -> None:
    """dW = x^T dout and db = sum of dout over the rows `rows`, into `dweight` and `dbias`."""
    (D, K), n = dweight.shape, len(rows)
    tiles = -(-D // TILE), -(-K // WIDTH)
    splits = _splits(tiles[0] * tiles[1], -(-n // DEPTH))
    run = _kernel("rows_backward", table, D, K, dout, dweight)
    shapes = tuple(map(np.int32, (n, D, K)))
    grid = tiles[0], splits, tiles[1]
    run.blocks(grid, THREADS, *table, rows, dout, *shapes, *_sums(tiles, splits), dweight, dbias)


def _kernel(name: str, table: Table, D: int, K: int, *wide: Array) -> Kernel:
    """The kernel for this table, and for arrays `wide` of K columns."""
    raw, fill = table[:2]
    kvec = 4 if access(K, *wide) == 4 else 1
    return kernel("products", name, VEC=access(D, raw, fill), KVEC=kvec, HALF=int(raw.dtype == np.float16))


def _splits(tiles: int, slices: int) -> int:
    """Blocks that share a tile's `slices`: as many as keep all multiprocessors at work."""
    return max(
        1, min(_multiprocessors(cupy.cuda.runtime.getDevice()) * RESIDENT // max(1, tiles), slices // LEAST_SLICES)
    )


@cache
def _multiprocessors(device: int) -> int:
    return int(cupy.cuda.runtime.deviceGetAttribute(16, device))  # cudaDevAttrMultiProcessorCount


def _sums(tiles: tuple[int, int], splits: int) -> tuple[Any, ...]:
    """Sums in the tree over a tile's splits, and room for them and for their tickets, for all tiles."""
    nodes = _nodes(splits)
    if nodes == 0:
        return np.int32(0), np.intp(0), np.intp(0)
    count = tiles[0] * tiles[1] * nodes
    return np.int32(nodes), empty(count * SUMS_BYTES, np.uint8), zeros("products", count)


def _nodes(splits: int) -> int:
    """Sums that are kept on the way from `splits` to one."""
    nodes = 0
    while splits > 1:
        nodes += splits
        splits = -(-splits // FAN)
    return nodes
