"""Rows of a table by id, and the gradient: sums over equal ids, in their order.

A negative id means padding: its row reads as zeros and gets no gradient. No sum depends on threads, on either device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from milk_np.nn import device
from milk_np.nn.arrays import Array, array_module, on_device


class RowGradient(NamedTuple):
    """Gradient of some rows of a table: `ids` (n) are distinct, except for padding rows, -1, whose values are 0."""

    ids: Array  # (n) int32
    values: Array  # (n, K)


def embedding_forward(table: Array, ids: Array) -> tuple[Array, Any]:
    """Rows `ids` (n), below R, of `table` (R, K): out (n, K). A device doesn't check the ids."""
    if on_device(table):
        return device.take(table, ids), (ids, len(table))
    out = table[ids] if len(table) else np.zeros((len(ids), table.shape[1]), table.dtype)
    if (nobody := ids < 0).any():
        out[nobody] = 0
    return out, (ids, len(table))


def embedding_backward(dout: Array, cache: Any) -> Array:
    """dtable (R, K), with all its rows."""
    ids, R = cache
    return scatter_add(ids, dout, R)


def embedding_backward_rows(dout: Array, cache: Any) -> RowGradient:
    """The same gradient as the rows that have one.

    A device can't report the number of distinct ids without synchronising: it returns n rows, and the unused ones are
    padding. On the host there are no padding rows.
    """
    ids, _ = cache
    if on_device(dout):
        xp, (order, there) = array_module(dout), _sorted(ids)
        values = xp.zeros_like(dout, order="C")
        device.sum_runs(there, order, dout, values, compact=True)
        first = xp.ones(len(ids), bool)
        first[1:] = there[1:] != there[:-1]
        return RowGradient(xp.where(first, there, -1).astype(np.int32), values)
    somebody = ids >= 0
    unique, slot = np.unique(ids[somebody], return_inverse=True)
    return RowGradient(unique.astype(np.int32), _sums(slot, dout[somebody], len(unique)))


def distinct(ids: Array) -> tuple[Array, Array]:
    """Distinct ids, and where each of `ids` (n) stands among them, so that a batch handles each row once.

    A device can't report their number without synchronising: there all n ids count as distinct.
    """
    if on_device(ids):
        return ids, array_module(ids).arange(len(ids))
    found, slot = np.unique(ids, return_inverse=True)
    return found, slot


def scatter_add(ids: Array, rows: Array, R: int) -> Array:
    """Table (R, K) whose row r sums the `rows` (n, K) whose id is r; `ids` (n) below R, negative ones left out."""
    if on_device(rows):
        out = array_module(rows).zeros((R, rows.shape[1]), rows.dtype)
        order, there = _sorted(ids)
        device.sum_runs(there, order, rows, out, compact=False)
        return out
    somebody = ids >= 0
    return _sums(ids[somebody], rows[somebody], R) if not somebody.all() else _sums(ids, rows, R)


def _sorted(ids: Array) -> tuple[Array, Array]:
    """Stable order of the ids (CuPy sorts by radix or merge, both stable), and the ids in it."""
    order = array_module(ids).argsort(ids, kind="stable")
    return order, ids[order]


def _sums(ids: NDArray[Any], rows: NDArray[Any], R: int) -> NDArray[Any]:
    """The sums as the product with a matrix that has one column a row: SciPy adds column after column."""
    n = len(ids)
    one_a_column = csc_array((np.ones(n, rows.dtype), ids, np.arange(n + 1)), shape=(R, n))
    return one_a_column @ rows  # type: ignore[no-any-return]
