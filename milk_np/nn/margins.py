"""Dot products between rows, and how much more a user likes one item than another."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.nn.arrays import Array, array_module, on_device
from milk_np.nn.embedding import embedding_forward, scatter_add


def row_dot_forward(a: Array, b: Array) -> tuple[Array, Any]:
    """out (B) = a_t . b_t, of a and b (B, K)."""
    return array_module(a).einsum("bk,bk->b", a, b), (a, b)


def row_dot_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """da and db (B, K)."""
    a, b = cache
    return dout[:, None] * b, dout[:, None] * a


def margin_forward(user: Array, better: Array, worse: Array) -> tuple[Array, Any]:
    """out (B) = u_t . (i_t - j_t), of three arrays (B, K)."""
    difference = better - worse
    return array_module(user).einsum("bk,bk->b", user, difference), (user, difference)


def margin_backward(dout: Array, cache: Any) -> tuple[Array, Array, Array]:
    """duser, dbetter and dworse (B, K)."""
    user, difference = cache
    dbetter = dout[:, None] * user
    return dout[:, None] * difference, dbetter, -dbetter


def candidate_dot_forward(query: Array, candidates: Array) -> tuple[Array, Any]:
    """out (B, N) = q_t . c_tn: every query (B, K) with candidates of its own (B, N, K)."""
    return array_module(query).einsum("bk,bnk->bn", query, candidates), (query, candidates)


def candidate_dot_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dquery (B, K) and dcandidates (B, N, K)."""
    query, candidates = cache
    dquery = array_module(query).einsum("bn,bnk->bk", dout, candidates)
    return dquery, dout[:, :, None] * query[:, None, :]


def sampled_dot_forward(kernels: Any, query: Array, table: Array, slots: Array) -> tuple[Array, Any]:
    """out (B, N) = q_t . c_tn, the candidate c_tn being row `slots[t, n]` of `table` (n, K); 0 for a negative slot.

    `kernels`, a module of `milk_np.kernels` for the host, reads each row where it stands; a device gathers them.
    """
    xp = array_module(query)
    if on_device(query):
        out = candidate_dot_forward(query, _gathered(table, slots))[0]
    else:
        query, table = np.ascontiguousarray(query), np.ascontiguousarray(table)
        kernels.candidate_dots(query, table, slots, out := xp.empty(slots.shape, query.dtype))
    return out, (kernels, query, table, slots)


def sampled_dot_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dquery (B, K) and dtable (n, K): sums in the order of the batch, whatever the threads."""
    kernels, query, table, slots = cache
    if on_device(dout):
        dquery, candidates = candidate_dot_backward(dout, (query, _gathered(table, slots)))
        return dquery, scatter_add(slots.reshape(-1), candidates.reshape(-1, query.shape[1]), len(table))
    dquery, dtable = np.empty_like(query), np.empty_like(table)
    kernels.candidate_dots_backward(np.ascontiguousarray(dout), query, table, slots, dquery, dtable)
    return dquery, dtable


def _gathered(table: Array, slots: Array) -> Array:
    return embedding_forward(table, slots.reshape(-1))[0].reshape(*slots.shape, table.shape[1])


def all_dot_forward(a: Array, b: Array) -> tuple[Array, Any]:
    """out (n, N) = a b^T: every row of a (n, K) with every row of b (N, K)."""
    return a @ b.T, (a, b)


def all_dot_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """da (n, K) and db (N, K)."""
    a, b = cache
    return dout @ b, dout.T @ a
