"""Users as profiles of their own items: q_t for the user of every triplet t = (u, i, j), and its backward pass.

h_j = mean of c^m_j over the available modalities of item j
v_t = sum of h over u's history without the positive i
q_t = exp(g) v_t / sqrt(|v_t|^2 + SMALL^2), 0 where the history holds only i

The positive is left out of its own user's profile, otherwise the profile would reveal the answer. Sums over histories
are sums of rows by compressed lists, and so are their gradients, by the transposed lists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints

SMALL = 1e-6
"""Keeps the direction of a vanishing sum smooth; far below the length of any real one."""


def read_histories(indptr: Ints, history: Ints, users: Ints, items: Ints) -> tuple[Ints, Ints, Ints]:
    """Everything that a batch extracts: ids, origin (2B + N) int32 and start (n_u + 1) int32.

    `indptr` (U + 1) and `history` hold every user's items; `users` (n_u) are the batch's distinct users, `items` (2B)
    its positives, then its negatives. `ids` are `items` and then the N items of the users' histories, those of user s
    at `start[s]:start[s + 1]`. `origin` says where the gradient of each comes from, as rows of a table that has B rows
    of the triplets and then n_u of the users: a positive's from its triplet, which leaves it out; a negative's from
    nowhere, -1; that of an item of a history from its user.
    """
    B = len(items) // 2
    lists = [history[indptr[u] : indptr[u + 1]] for u in users]
    lengths = np.array([len(own) for own in lists], np.int64)
    ids = np.concatenate([items, *lists]).astype(np.int32)
    origin = np.concatenate([np.arange(B), np.full(B, -1), B + np.repeat(np.arange(len(users)), lengths)])
    start = 2 * B + np.concatenate([[0], np.cumsum(lengths)])
    return ids, origin.astype(np.int32), start.astype(np.int32)


def sum_rows(table: Floats, start: Ints, index: Ints, out: Floats) -> None:
    """`out` (n, K): row s sums the rows `index[start[s]:start[s + 1]]` of `table`; an index of -1 adds nothing."""
    for s in range(len(out)):
        rows = index[start[s] : start[s + 1]]
        out[s] = table[rows[rows >= 0]].sum(axis=0)


def owned_mean(c: Floats, rows: Ints, owned: NDArray[np.bool_], out: Floats) -> None:
    """`out` (n, K): mean of `c` (M, n, K) over the available modalities `owned` (I, M) of the items `rows` (n)."""
    np.einsum("nm,mnk->nk", _shares(rows, owned, out), c, out=out)


def owned_mean_backward(dh: Floats, rows: Ints, owned: NDArray[np.bool_], dc: Floats) -> None:
    """Add the gradient of `owned_mean` to `dc` (M, n, K), `dh` (n, K) being that of its result."""
    dc += np.einsum("nm,nk->mnk", _shares(rows, owned, dh), dh)


def _shares(rows: Ints, owned: NDArray[np.bool_], like: Floats) -> Floats:
    """(n, M) weight of each modality of an item: one over its number of modalities, 0 where it is missing."""
    mine = owned[rows].astype(like.dtype)
    shares: Floats = mine / np.maximum(mine.sum(axis=1, keepdims=True), 1)
    return shares


def leave_one_out(
    total: Floats,
    h: Floats,
    owner: Ints,
    positive: Ints,
    start: Ints,
    scale: Floats,
    unit: Floats,
    inverse: Floats,
    q: Floats,
) -> None:
    """`q` (B, K) = exp(g) `unit`, with `unit` (B, K) = v times `inverse` (B), v = total[owner] - h[positive].

    `total` (n_u, K) sums the histories, whose ends are `start` (n_u + 1); `h` (n, K); `owner` (B) is the row of each
    triplet's user, `positive` (B) that of its positive, which is one of their items; `scale` (1) holds g. Where the
    positive is all of the history, all three are 0.
    """
    v = total[owner] - h[positive]
    others = np.diff(start)[owner] > 1
    inverse[...] = others / np.sqrt((v * v).sum(axis=1) + v.dtype.type(SMALL**2))
    np.multiply(v, inverse[:, None], out=unit)
    np.multiply(unit, np.exp(scale), out=q)


def leave_one_out_backward(
    dq: Floats, unit: Floats, inverse: Floats, scale: Floats, left: Floats, dscale: Floats
) -> None:
    """`left` (B, K) = gradient of what is left out, h[positive], which is minus that of v; `dscale` (1) that of g.

    dv = exp(g) inverse (dq - unit (unit . dq)), dg = exp(g) sum_t unit_t . dq_t.
    """
    factor = np.exp(scale)
    along = (unit * dq).sum(axis=1)
    left[...] = -factor * inverse[:, None] * (dq - along[:, None] * unit)
    dscale[...] = factor * along.sum()
