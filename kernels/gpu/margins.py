"""Margins of the triplets and their backward pass (contract: kernels/reference/margins.py): one launch each.

Sums over equal ids go through the groups of a batch, so that a row is added up in the order of its triplets.
"""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import rows_kernel
from milk_np.kernels.reference.grouping import Groups


def margins(P: Array, c: Array, users: Array, slot: Array, out: Array) -> None:
    """`out` (M, B): p_u . (c^m_i - c^m_j) of every triplet and modality."""
    (M, B), (n, K) = out.shape, c.shape[1:]
    run, lanes = rows_kernel("margins", "margins", K, P, c)
    run.threads(B * int(lanes), P, c, users, slot, out, *map(np.int32, (B, M, n, K)), lanes)


def margins_backward_users(c: Array, slot: Array, ds: Array, by_user: Groups, out: Array) -> None:
    """`out` (n_u, K): gradient of the rows of P."""
    (M, B), (n, K), rows = ds.shape, c.shape[1:], len(out)
    run, lanes = rows_kernel("margins", "margins_backward_users", K, c, out)
    sizes = map(np.int32, (rows, B, M, n, K))
    run.threads(rows * int(lanes), c, slot, ds, by_user.start, by_user.order, out, *sizes, lanes)


def margins_backward_items(P: Array, users: Array, ds: Array, by_item: Groups, out: Array) -> None:
    """`out` (M, n, K): gradient of `c`."""
    M, n, K = out.shape
    run, lanes = rows_kernel("margins", "margins_backward_items", K, P, out)
    sizes = map(np.int32, (ds.shape[1], M, n, K))
    run.threads(M * n * int(lanes), P, users, ds, by_item.start, by_item.order, out, *sizes, lanes)
