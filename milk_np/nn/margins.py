"""Dot products between rows, and how much more a user likes one item than another."""

from __future__ import annotations

from typing import Any

from milk_np.nn.arrays import Array, array_module


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


def all_dot_forward(a: Array, b: Array) -> tuple[Array, Any]:
    """out (n, N) = a b^T: every row of a (n, K) with every row of b (N, K)."""
    return a @ b.T, (a, b)


def all_dot_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """da (n, K) and db (N, K)."""
    a, b = cache
    return dout @ b, dout.T @ a
