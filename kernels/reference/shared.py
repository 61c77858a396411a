"""What a process does of a batch that several processes share: its own pairs, and some rows of a weight's gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.extract import gather
from milk_np.kernels.reference.sampling import draw_members


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
    """Users (B) and items (2B: positives, then negatives) of the pairs `rows` (B) of all training pairs.

    The process has the pairs `pair_user`, `pair_item` (n) from number `offset` on; `indptr` (U+1), `ranks`,
    `candidates` and `pool` are those of `draw_batch`, for its own users. The triplets are those of `draw_batch`.
    """
    users = pair_user[rows - offset]
    negatives = draw_members(negative_key, rows, users, indptr, ranks, candidates, pool)
    return users.astype(np.int32), np.concatenate([pair_item[rows - offset].astype(np.int32), negatives])


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
    """`extract_backward`, of dW (D, K) the rows `low` ... `high - 1` alone; the others are left as they are."""
    x: Any = gather(raw, fill, source, scale, rows, np.empty((len(rows), raw.shape[1]), dweight.dtype))
    dweight[low:high] = x[:, low:high].T @ dout
    dbias[...] = dout.sum(axis=0)
