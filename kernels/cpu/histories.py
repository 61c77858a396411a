"""Users described by their own items (contract: kernels/reference/histories.py).

One thread makes a row, adding in the order of its list: no result depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.grouping import group
from milk_np.kernels.reference.grouping import Groups
from milk_np.kernels.reference.histories import SMALL, HistoryLists


def read_histories(
    indptr: Ints, history: Ints, users: Ints, items: Ints, by_item: Groups, table: Ints, room: int
) -> tuple[Groups, HistoryLists]:
    """All that is extracted for a batch, and its users' lists."""
    ids, origin, start = _all_ids(indptr, history, users, items)
    groups = group(ids, table)
    ends = np.full(len(groups.unique) + 1, len(items), np.int32)
    ends[: len(by_item.start)] = by_item.start
    lists = HistoryLists(np.diff(start), start, groups.slot, groups.start, origin[groups.order])
    return by_item._replace(unique=groups.unique, start=ends), lists


@njit(cache=True)
def _all_ids(indptr: Ints, history: Ints, users: Ints, items: Ints) -> tuple[Ints, Ints, Ints]:
    """Items of the triplets and of the users' histories, and where the gradient of each comes from."""
    B = len(items) // 2
    start = np.empty(len(users) + 1, np.int32)
    start[0] = 2 * B
    for s in range(len(users)):
        start[s + 1] = start[s] + np.int32(indptr[users[s] + 1] - indptr[users[s]])
    ids, origin = np.empty(start[-1], np.int32), np.empty(start[-1], np.int32)
    for t in range(B):
        ids[t], origin[t] = items[t], t
        ids[B + t], origin[B + t] = items[B + t], -1
    for s in range(len(users)):
        first = indptr[users[s]]
        for k in range(start[s + 1] - start[s]):
            ids[start[s] + k] = history[first + k]
            origin[start[s] + k] = B + s
    return ids, origin, start


@njit(parallel=True, cache=True)
def sum_rows(table: Floats, start: Ints, index: Ints, out: Floats) -> None:
    """`out` (n, K): sums of the rows of `table` that the lists name."""
    for s in prange(out.shape[0]):
        total = out[s]
        for k in range(len(total)):
            total[k] = 0
        for position in range(start[s], start[s + 1]):
            if index[position] >= 0:
                row = table[index[position]]
                for k in range(len(total)):
                    total[k] += row[k]


def sum_histories(h: Floats, lists: HistoryLists, out: Floats) -> None:
    """`out` (n_u, K): sums of the rows of `h` over the users' histories."""
    sum_rows(h, lists.start, lists.slot, out)


def histories_backward(by_origin: Floats, by_user: Groups, lists: HistoryLists, out: Floats) -> None:
    """Gradient of `h` into `out` (n, K), by the transposed lists; sums over users behind the triplets' rows."""
    B = len(by_user.slot)
    left, users = by_origin[:B], by_origin[B:]
    sum_rows(left, by_user.start, by_user.order, users)
    users *= -1  # `left` is the gradient of what is taken away from the sum
    sum_rows(by_origin, lists.owner_start, lists.owner, out)


@njit(cache=True)
def _share(owned: NDArray[np.bool_], item: int) -> float:
    """One over the number of an item's modalities."""
    count = 0
    for m in range(owned.shape[1]):
        count += owned[item, m]
    return 1 / max(count, 1)


@njit(parallel=True, cache=True)
def owned_mean(c: Floats, rows: Ints, owned: NDArray[np.bool_], out: Floats) -> None:
    """`out` (n, K): mean of `c` over each item's available modalities."""
    for r in prange(out.shape[0]):
        mean = out[r]
        share = c.dtype.type(_share(owned, rows[r]))
        for k in range(len(mean)):
            mean[k] = 0
        for m in range(c.shape[0]):
            if owned[rows[r], m]:
                for k in range(len(mean)):
                    mean[k] += share * c[m, r, k]


@njit(parallel=True, cache=True)
def owned_mean_backward(dh: Floats, rows: Ints, owned: NDArray[np.bool_], dc: Floats) -> None:
    """Gradient of `owned_mean` onto `dc`."""
    for r in prange(dh.shape[0]):
        share = dh.dtype.type(_share(owned, rows[r]))
        for m in range(dc.shape[0]):
            if owned[rows[r], m]:
                for k in range(dh.shape[1]):
                    dc[m, r, k] += share * dh[r, k]


@njit(parallel=True, cache=True, error_model="numpy")
def leave_one_out(
    total: Floats,
    h: Floats,
    owner: Ints,
    positive: Ints,
    lengths: Ints,
    scale: Floats,
    unit: Floats,
    inverse: Floats,
    q: Floats,
) -> None:
    """Profiles `q` (B, K) without the positive, of length exp(g), and what their backward pass reads."""
    kind = q.dtype.type
    factor = kind(np.exp(scale[0]))
    for t in prange(q.shape[0]):
        everything, own, v = total[owner[t]], h[positive[t]], unit[t]
        square = kind(SMALL**2)
        for k in range(len(v)):
            v[k] = everything[k] - own[k]
            square += v[k] * v[k]
        others = lengths[owner[t]] > 1
        inverse[t] = 1 / np.sqrt(square) if others else 0
        for k in range(len(v)):
            v[k] *= inverse[t]
            q[t, k] = factor * v[k]


def leave_one_out_backward(
    dq: Floats, unit: Floats, inverse: Floats, scale: Floats, left: Floats, dscale: Floats
) -> None:
    """Gradient of what is left out into `left` (B, K), that of g into `dscale`."""
    along = np.empty(len(dq))
    _backward(dq, unit, inverse, scale, left, along)
    dscale[0] = np.exp(scale[0]) * along.sum()


@njit(parallel=True, cache=True)
def _backward(dq: Floats, unit: Floats, inverse: Floats, scale: Floats, left: Floats, along: Floats) -> None:
    kind = dq.dtype.type
    factor = kind(np.exp(scale[0]))
    for t in prange(dq.shape[0]):
        slope, direction = dq[t], unit[t]
        dot = kind(0)
        for k in range(len(slope)):
            dot += slope[k] * direction[k]
        along[t] = dot
        size = -factor * inverse[t]
        for k in range(len(slope)):
            left[t, k] = size * (slope[k] - dot * direction[k])
