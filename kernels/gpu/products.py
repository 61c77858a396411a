"""Products with rows of feature tables that are read where they lie (contract: kernels/reference/extract.py).

Single precision, tables on the device; all modalities in one launch. The order of the additions, and so every bit,
follows from the shapes of the whole call, the number of rows before the padding, and the number of blocks that the
device holds; timing and the amount of padding have no part in it. Padding rows (-1) lie behind all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import NamedTuple

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import Kernel, access, kernel, multiprocessors, zeros
from milk_np.kernels.gpu.memory import empty

Table = tuple[Array, Array, Array, Array]

THREADS = 128
TILE, WIDTH, DEPTH = 128, 64, 16
"""Rows and columns of a block's results, and terms of which it has the numbers at once; as in products.cu."""
FAN = 4
"""Sums of blocks that one of them adds at once."""
SUMS_BYTES = 68 * 4 * THREADS
"""A block's sums."""
MOST = 8
"""Modalities of a launch."""
BLOCKS: int | None = None
"""Blocks of a launch for a multiprocessor; None for as many as it holds at a time, so that all end together."""
FETCH = 128
"""Bytes of a row that the second-level cache takes from memory at once, where a thread asks for 16."""
LEAST = 4
"""Units of work, slices of DEPTH terms of a tile, that are worth a block."""

POINTERS = ("raw", "fill", "source", "scale", "wide", "bias", "out", "dbias")
MODALITY = np.dtype([(name, np.uint64) for name in POINTERS] + [("D", np.int32)], align=True)
"""A modality as products.cu has it."""


class Part(NamedTuple):
    """A modality's arrays in a launch: what its rows are multiplied by, with K columns, and where the results go."""

    table: Table
    D: int
    wide: Array
    bias: Array | None
    out: Array
    dbias: Array | None


def forward(
    tables: Sequence[Table], rows: Array, weights: Sequence[Array], biases: Sequence[Array], out: Sequence[Array]
) -> None:
    """c = x W + b of every modality for the rows `rows`, into `out`; b in rows of nobody."""
    arrays = zip(tables, weights, biases, out, strict=True)
    parts = [Part(table, len(weight), weight, bias, c, None) for table, weight, bias, c in arrays]
    n, K = out[0].shape
    for group in _groups(parts):
        units = sum(-(-n // TILE) * max(1, -(-part.D // DEPTH)) for part in group)
        _launch("rows_forward", group, rows, (n, K), units)


def backward(
    tables: Sequence[Table], rows: Array, dout: Sequence[Array], dweights: Sequence[Array], dbiases: Sequence[Array]
) -> None:
    """dW = x^T dout and db = sum of dout of every modality over the rows `rows`, into `dweights` and `dbiases`."""
    arrays = zip(tables, dout, dweights, dbiases, strict=True)
    parts = [Part(table, len(dweight), dc, None, dweight, dbias) for table, dc, dweight, dbias in arrays]
    n, K = dout[0].shape
    for group in _groups(parts):
        units = sum(max(1, -(-part.D // TILE)) * max(1, -(-n // DEPTH)) for part in group)
        _launch("rows_backward", group, rows, (n, K), units)


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Modalities that one launch can serve: of the same type, and MOST at most."""
    by_type = [[part for part in parts if part.table[0].dtype == dtype] for dtype in (np.float32, np.float16)]
    return [group[i : i + MOST] for group in by_type for i in range(0, len(group), MOST)]


def _launch(name: str, parts: list[Part], rows: Array, shape: tuple[int, int], units: int) -> None:
    """Launch the kernel `name` for `units` slices of a tile of columns at most; padding is not known here."""
    n, K = shape
    run, modalities = kernel("products", name, **_variant(parts, K)), np.zeros(MOST, MODALITY)
    for m, part in enumerate(parts):
        modalities[m] = (*_pointers(part), part.D)
    blocks = min(multiprocessors() * _held(run), max(1, units * -(-K // WIDTH) // LEAST))
    levels = next(level for level in count(1) if FAN**level >= blocks)
    scratch = empty(2 * blocks * SUMS_BYTES, np.uint8), zeros("products", 2 * blocks * levels)
    every, sizes = modalities.view(np.dtype((np.void, modalities.nbytes)))[0], map(np.int32, (n, K))
    run.blocks(blocks, THREADS, every, np.int32(len(parts)), rows, *sizes, *scratch)


def _held(run: Kernel) -> int:
    """Blocks of a launch for a multiprocessor."""
    return BLOCKS or _resident(run, cupy.cuda.runtime.getDevice())


@cache
def _resident(run: Kernel, device: int) -> int:
    return run.resident(THREADS)


def _pointers(part: Part) -> list[int]:
    arrays = *part.table, part.wide, part.bias, part.out, part.dbias
    return [0 if array is None else array.data.ptr for array in arrays]


def _variant(parts: list[Part], K: int) -> dict[str, int]:
    """How the arrays can be accessed, and the type of the raw rows."""
    vec = min(access(part.D, *part.table[:2]) for part in parts)
    wide = [array for part in parts for array in (part.wide, part.out)]
    half = int(parts[0].table[0].dtype == np.float16)
    return {"VEC": vec, "KVEC": 4 if access(K, *wide) == 4 else 1, "HALF": half, "FETCH": FETCH}
