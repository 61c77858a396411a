"""Users as profiles of their own items (contract: kernels/reference/histories.py).

Four launches read a batch's histories; the sums and their backward passes take one each, that of histories three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import Kernel, kernel, rows_kernel, zeros
from milk_np.kernels.gpu.memory import empty
from milk_np.kernels.reference.grouping import Groups
from milk_np.kernels.reference.histories import OWNERS

THREADS, SPAN = 256, 4096
"""Threads of a block, and items that it numbers; as in histories.cu."""


class HistoryLists(NamedTuple):
    """The histories of a batch's distinct users; see the reference."""

    lengths: Array
    """(n_u) int32."""
    rows: Array
    """indptr (U + 1) of all users' histories, the items themselves, and the distinct users (n_u)."""
    places: Array
    """(I) the row of every item that is extracted."""
    by_item: Groups
    """Rows by the places of their triplets."""


def read_histories(
    indptr: Array, history: Array, users: Array, items: Array, by_item: Groups, table: Array, room: int
) -> tuple[Groups, HistoryLists]:
    """All that is extracted for a batch, with `room` for so many items, and its users' lists."""
    n_items, n_users, rows = len(table), len(users), len(by_item.unique)
    places, lengths = empty(n_items, np.int32), empty(n_users, np.int32)
    every, ends = empty(room, np.int32), empty(room + 1, np.int32)
    blocks = -(-n_items // SPAN)
    part, count = empty(blocks, np.int32), np.int64(n_items)
    own = indptr, history, users
    _kernel("clear_places").threads(n_items, places, count)
    marks = n_users + -(-rows // THREADS)
    unique = by_item.unique, np.int32(rows)
    _kernel("mark_items").blocks(marks, THREADS, *own, np.int32(n_users), *unique, places, lengths)
    _kernel("count_wanted").blocks(blocks, THREADS, places, count, part)
    groups = by_item.unique, by_item.start, *map(np.int32, (rows, len(items), room))
    _kernel("number_items").blocks(blocks, THREADS, part, count, *groups, places, every, ends)
    by_item = by_item._replace(unique=every, start=ends)
    return by_item, HistoryLists(lengths, own, places, by_item)


def sum_histories(h: Array, lists: HistoryLists, out: Array) -> None:
    """`out` (n_u, K): sums of the rows of `h` over the users' histories."""
    n_users, K = out.shape
    run, lanes = rows_kernel("histories", "sum_histories", K, h, out)
    run.blocks(n_users, THREADS, h, *lists.rows, lists.places, out, np.int32(K), lanes)


def histories_backward(by_origin: Array, by_user: Groups, lists: HistoryLists, out: Array) -> None:
    """Gradient of `h` into `out` (n, K); sums over users behind the triplets' rows."""
    (n, K), B, n_users = out.shape, len(by_user.slot), len(by_user.unique)
    left, users = by_origin[:B], by_origin[B:]
    sum_rows(left, by_user.start, by_user.order, users)
    words = -(-min(n_users, OWNERS) // 128) * 4
    bits = zeros("owners", n * words, np.uint32)
    own, (start, order) = (*lists.rows, lists.places), lists.by_item[2:]
    gather, lanes = rows_kernel("histories", "sum_owners", K, left, users, out)
    for first in range(0, n_users, OWNERS):
        at = np.int32(first)
        marked = min(n_users - first, OWNERS)
        _kernel("mark_owners").blocks(marked, THREADS, *own, at, np.int32(words), bits)
        sizes = np.int32(words), at, np.int32(B), np.int64(n), np.int32(K), lanes
        gather.threads(n * int(lanes), left, users, start, order, bits, *sizes, out)


def sum_rows(table: Array, start: Array, index: Array, out: Array) -> None:
    """`out` (n, K): sums of the rows of `table` that the lists name."""
    n, K = out.shape
    run, lanes = rows_kernel("histories", "sum_rows", K, table, out)
    run.threads(n * int(lanes), table, start, index, out, np.int64(n), np.int32(K), lanes)


def owned_mean(c: Array, rows: Array, owned: Array, out: Array) -> None:
    """`out` (n, K): mean of `c` (M, n, K) over each item's available modalities."""
    M, n, K = c.shape
    run, lanes = rows_kernel("histories", "owned_mean", K, c, out)
    run.threads(n * int(lanes), c, rows, owned, np.int64(n), np.int32(M), np.int32(K), lanes, out)


def owned_mean_backward(dh: Array, rows: Array, owned: Array, dc: Array) -> None:
    """Gradient of `owned_mean` onto `dc`."""
    M, n, K = dc.shape
    run, lanes = rows_kernel("histories", "owned_mean_backward", K, dh, dc)
    run.threads(n * int(lanes), dh, rows, owned, np.int64(n), np.int32(M), np.int32(K), lanes, dc)


def leave_one_out(
    total: Array,
    h: Array,
    owner: Array,
    positive: Array,
    lengths: Array,
    scale: Array,
    unit: Array,
    inverse: Array,
    q: Array,
) -> None:
    """Profiles `q` (B, K) without the positive, of length exp(g), and what their backward pass reads."""
    B, K = q.shape
    run, lanes = rows_kernel("histories", "leave_one_out", K, total, h, unit, q)
    sizes = np.int32(B), np.int32(K), lanes
    run.threads(B * int(lanes), total, h, owner, positive, lengths, scale, *sizes, unit, inverse, q)


def leave_one_out_backward(dq: Array, unit: Array, inverse: Array, scale: Array, left: Array, dscale: Array) -> None:
    """Gradient of what is left out into `left` (B, K), that of g into `dscale`."""
    B, K = dq.shape
    run, lanes = rows_kernel("histories", "leave_one_out_backward", K, dq, unit, left)
    blocks = -(-B * int(lanes) // THREADS)
    part, ticket = empty(blocks, np.float64), zeros("leave one out", 1)
    sizes = np.int32(B), np.int32(K), lanes
    run.blocks(blocks, THREADS, dq, unit, inverse, scale, *sizes, left, part, ticket, dscale)


def _kernel(name: str) -> Kernel:
    """A kernel of whole numbers."""
    return kernel("histories", name)
