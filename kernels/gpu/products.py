"""Products with rows of feature tables that are read in place (contract: kernels/reference/extract.py).

Single precision, tables on the device; all modalities in one launch. The order of the additions, and so every bit,
follows from the shapes of the whole call and from the number of the device's multiprocessors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import cupy
import numpy as np

from milk_np.kernels.gpu.launch import access, kernel, zeros
from milk_np.kernels.gpu.memory import empty

Array = Any
Table = tuple[Array, Array, Array, Array]

THREADS = 128
TILE, WIDTH, DEPTH = 128, 64, 16
"""Rows and columns of a block's results, and terms of which it has the numbers at once; as in products.cu."""
FAN = 4
"""Sums of splits that a block adds at once."""
SUMS_BYTES = 17 * 16 * THREADS
"""A block's sums."""
MOST = 8
"""Modalities of a launch."""
BLOCKS_FORWARD, BLOCKS_BACKWARD = 4, 3
"""Blocks for a multiprocessor, which works on three at once; forward, some have only padding rows and end at once."""
FETCH = 128
"""Bytes of a row that the second-level cache takes from memory at once, where a thread asks for 16."""
LEAST_SLICES = 4
"""Slices of DEPTH terms that are worth a block."""

POINTERS = ("raw", "fill", "source", "scale", "wide", "bias", "out", "dbias")
MODALITY = np.dtype(
    [(name, np.uint64) for name in POINTERS]
    + [("sums", np.int64)]
    + [(name, np.int32) for name in ("D", "first", "tiles", "splits", "nodes")],
    align=True,
)
"""A modality as products.cu has it; those that are left over in a launch begin behind its last block."""
BEHIND = np.iinfo(np.int32).max


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
    """c = x W + b of every modality for the rows `rows`, into `out`; b in padding rows."""
    arrays = zip(tables, weights, biases, out, strict=True)
    parts = [Part(table, len(weight), weight, bias, c, None) for table, weight, bias, c in arrays]
    n, K = out[0].shape
    for group in _groups(parts):
        tiles = [-(-n // TILE)] * len(group)
        _launch("rows_forward", group, rows, (n, K), tiles, [-(-part.D // DEPTH) for part in group], BLOCKS_FORWARD)


def backward(
    tables: Sequence[Table], rows: Array, dout: Sequence[Array], dweights: Sequence[Array], dbiases: Sequence[Array]
) -> None:
    """dW = x^T dout and db = sum of dout of every modality over the rows `rows`, into `dweights` and `dbiases`."""
    arrays = zip(tables, dout, dweights, dbiases, strict=True)
    parts = [Part(table, len(dweight), dc, None, dweight, dbias) for table, dc, dweight, dbias in arrays]
    n, K = dout[0].shape
    for group in _groups(parts):
        tiles = [-(-part.D // TILE) for part in group]
        _launch("rows_backward", group, rows, (n, K), tiles, [-(-n // DEPTH)] * len(group), BLOCKS_BACKWARD)


def splits(tiles: Sequence[int], slices: Sequence[int], blocks: int) -> list[int]:
    """Blocks that share a tile's terms, of each modality: all have about the same share, and there are `blocks` in all.

    `tiles` are the modalities' numbers of tiles, `slices` the numbers of slices of each tile.
    """
    total = sum(many * each for many, each in zip(tiles, slices, strict=True))
    return [max(1, min(each * blocks // max(1, total), each // LEAST_SLICES)) for each in slices]


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Modalities that one launch can serve: of the same type, and MOST at most."""
    by_type = [[part for part in parts if part.table[0].dtype == dtype] for dtype in (np.float32, np.float16)]
    return [group[i : i + MOST] for group in by_type for i in range(0, len(group), MOST)]


def _launch(
    name: str, parts: list[Part], rows: Array, shape: tuple[int, int], tiles: list[int], slices: list[int], blocks: int
) -> None:
    """Launch the kernel `name`; `blocks` are those for a multiprocessor."""
    n, K = shape
    columns, modalities = -(-K // WIDTH), np.zeros(MOST, MODALITY)
    modalities["first"] = BEHIND
    whole = [many * columns for many in tiles]
    first = sums = 0
    for m, each in enumerate(splits(whole, slices, blocks * _multiprocessors(cupy.cuda.runtime.getDevice()))):
        nodes = _nodes(each)
        modalities[m] = (*_pointers(parts[m]), sums, parts[m].D, first, tiles[m], each, nodes)
        first, sums = first + whole[m] * each, sums + whole[m] * nodes
    scratch = (empty(sums * SUMS_BYTES, np.uint8), zeros("products", sums)) if sums else (np.intp(0), np.intp(0))
    arguments = modalities.view(np.dtype((np.void, modalities.nbytes)))[0], rows, np.int32(n), np.int32(K), *scratch
    kernel("products", name, **_variant(parts, K)).blocks(first, THREADS, *arguments)


def _pointers(part: Part) -> list[int]:
    arrays = *part.table, part.wide, part.bias, part.out, part.dbias
    return [0 if array is None else array.data.ptr for array in arrays]


def _variant(parts: list[Part], K: int) -> dict[str, int]:
    """How the arrays can be accessed, and the type of the raw rows."""
    vec = min(access(part.D, *part.table[:2]) for part in parts)
    wide = [array for part in parts for array in (part.wide, part.out)]
    half = int(parts[0].table[0].dtype == np.float16)
    return {"VEC": vec, "KVEC": 4 if access(K, *wide) == 4 else 1, "HALF": half, "FETCH": FETCH}


@cache
def _multiprocessors(device: int) -> int:
    return int(cupy.cuda.runtime.deviceGetAttribute(cupy.cuda.runtime.cudaDevAttrMultiProcessorCount, device))


def _nodes(count: int) -> int:
    """Sums that are kept on the way from `count` splits to one."""
    nodes = 0
    while count > 1:
        nodes += count
        count = -(-count // FAN)
    return nodes
