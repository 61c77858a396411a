"""What a process does of a batch that several processes share (contract: kernels/reference/shared.py)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.extract import backward_columns, column_sums
from milk_np.kernels.cpu.sampling import CHUNK, draw_triplet


def draw_shared(
    negative_key: int,
    rows: Ints,
    offset: int,
    pair_user: Ints,
    pair_item: Ints,
    indptr: Ints,
    ranks: Ints,
    candidates: Ints,
    pool: Ints,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Users (B) and items (2B) of the pairs `rows` of all training pairs."""
    users, items = np.empty(len(rows), np.int32), np.empty(2 * len(rows), np.int32)
    _draw(np.uint64(negative_key), rows, offset, pair_user, pair_item, indptr, ranks, candidates, pool, users, items)
    return users, items


def extract_backward_shared(
    raw: Floats,
    fill: Floats,
    source: Ints,
    scale: Floats,
    rows: Ints,
    dout: Floats,
    dweight: Floats,
    dbias: Floats,
    low: int,
    high: int,
) -> None:
    """dW = x^T dout, its rows `low` ... `high - 1` alone, and db = sum of dout."""
    column_sums(dout, dbias)
    backward_columns(raw, fill, source, scale, rows, dout, dweight, low, high)


@njit(parallel=True, cache=True)
def _draw(
    negative_key: np.uint64,
    rows: Ints,
    offset: int,
    pair_user: Ints,
    pair_item: Ints,
    indptr: Ints,
    ranks: Ints,
    candidates: Ints,
    pool: Ints,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> None:
    count = len(users)
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        for t in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            pair = rows[t] - offset
            users[t], items[t] = pair_user[pair], pair_item[pair]
            items[count + t] = draw_triplet(negative_key, rows[t], users[t], indptr, ranks, candidates, pool)
