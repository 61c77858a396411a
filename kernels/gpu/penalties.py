"""Alignment of the modalities and the regulariser (contract: kernels/reference/penalties.py): two launches and one."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import kernel, rows_kernel, zeros
from milk_np.kernels.gpu.memory import empty
from milk_np.kernels.reference.grouping import Groups

THREADS = 256


def alignment(c: Array, rows: Array, owned: Array, slot: Array, weight: float, dc: Array, term: Array) -> None:
    """Mean squared difference between available modalities into `term`; adds its weighted gradient to `dc`."""
    (M, n, K), B = c.shape, len(slot) // 2
    flag, count = zeros("alignment flags", n), zeros("alignment counts", M * M)
    kernel("penalties", "alignment_count").threads(B, rows, owned, slot, np.int32(B), np.int32(M), flag, count)
    pull, lanes = rows_kernel("penalties", "alignment_pull", K, c, dc)
    blocks = _blocks(n, lanes)
    part, ticket = empty(blocks, np.float64), zeros("alignment", 1)
    sizes = *map(np.int32, (n, M, K)), np.float64(weight)
    pull.blocks(blocks, THREADS, c, rows, owned, *sizes, flag, count, dc, part, ticket, term, lanes)


def regulariser(
    P: Array, c: Array, by_user: Groups, by_item: Groups, weight: float, dP: Array, dc: Array, term: Array
) -> None:
    """Mean of |p_u|^2 + |z_i|^2 + |z_j|^2 into `term`, its weighted gradient onto `dP` and `dc`."""
    (M, n, K), B, n_users = c.shape, len(by_user.slot), len(by_user.unique)
    shrink, lanes = rows_kernel("penalties", "regulariser", K, P, c, dP, dc)
    blocks = _blocks(n_users + n, lanes)
    part, ticket = empty(blocks, np.float64), zeros("regulariser", 1)
    groups = by_user.unique, by_user.start, by_item.start
    sizes = *map(np.int32, (B, M, n_users, n, K)), np.float64(weight)
    shrink.blocks(blocks, THREADS, P, c, *groups, *sizes, dP, dc, part, ticket, term, lanes)


def _blocks(rows: int, lanes: np.int32) -> int:
    return -(-rows * int(lanes) // THREADS)
