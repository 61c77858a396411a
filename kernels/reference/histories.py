"""Users as profiles of their own items: q_t for the user of every triplet t = (u, i, j), and its backward pass.

h_j = mean of c^m_j over the available modalities of item j
v_t = sum of h over u's history without the positive i
q_t = exp(g) v_t / sqrt(|v_t|^2 + SMALL^2), 0 where the history holds only i

The positive is left out of its own user's profile, otherwise the profile would reveal the answer. Sums over histories
are sums of rows by compressed lists, and so are their gradients, by the transposed lists.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.grouping import Groups, group

SMALL = 1e-6
"""Keeps the direction of a vanishing sum smooth; far below the length of any real one."""
OWNERS = 2048
"""Users of a batch whose items a device marks at a time, with a bit for each in the row of every item."""


class HistoryLists(NamedTuple):
    """The histories of a batch's n_u distinct users, as sums over them read them.

    Only `lengths` is the same in all packages; a device has other arrays in the place of the lists.
    """

    lengths: Any
    """(n_u) int32, items of each user."""
    start: Any
    """(n_u + 1) int32: user s has the rows `slot[start[s]:start[s + 1]]` of what is extracted."""
    slot: Any
    """int32."""
    owner_start: Any
    """(n + 1) int32: the gradient of row r sums the rows `owner[owner_start[r]:owner_start[r + 1]]` of `by_origin`."""
    owner: Any
    """int32; see `histories_backward`. -1 adds nothing."""


def read_histories(
    indptr: Ints, history: Ints, users: Ints, items: Ints, by_item: Groups, table: Ints, room: int
) -> tuple[Groups, HistoryLists]:
    """Everything that a batch extracts, and the lists of its users.

    `indptr` (U + 1) and `history` hold every user's items; `users` (n_u) are the batch's distinct users, `items` (2B)
    its positives, then its negatives, which `by_item` groups. Returns `by_item` with the users' other items behind its
    own in `unique`, where their groups are empty. `table` (I) is scratch, -1 everywhere before and after. A device,
    which can't know how many items that makes, has `room` for so many; it is never less.
    """
    ids, origin, start = _all_ids(indptr, history, users, items)
    groups = group(ids, table)
    ends = np.full(len(groups.unique) + 1, len(items), np.int32)
    ends[: len(by_item.start)] = by_item.start
    lengths = np.diff(start)
    lists = HistoryLists(lengths, start, groups.slot, groups.start, origin[groups.order])
    return by_item._replace(unique=groups.unique, start=ends), lists


def _all_ids(indptr: Ints, history: Ints, users: Ints, items: Ints) -> tuple[Ints, Ints, Ints]:
    """ids, origin (2B + N) int32 and start (n_u + 1) int32.

    `ids` are `items` and then the N items of the users' histories, those of user s at `start[s]:start[s + 1]`. `origin`
    says where the gradient of each comes from, as rows of a table that has B rows of the triplets and then n_u of the
    users: a positive's from its triplet, which leaves it out; a negative's from nowhere, -1; that of an item of a
    history from its user.
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


def sum_histories(h: Floats, lists: HistoryLists, out: Floats) -> None:
    """`out` (n_u, K): sum of `h` (n, K), a row for each extracted item, over every user's history."""
    sum_rows(h, lists.start, lists.slot, out)


def histories_backward(by_origin: Floats, by_user: Groups, lists: HistoryLists, out: Floats) -> None:
    """`out` (n, K): gradient of `h`.

    The first B rows of `by_origin` (B + n_u, K) are the gradients of what the triplets leave out, each minus that of
    its user's sum. A row of h has that of the triplets whose positive it is, and minus those of all triplets whose
    users own it. The other rows of `by_origin` are scratch, for the sums over each user's triplets.
    """
    left, users = np.split(by_origin, [len(by_user.slot)])
    sum_rows(left, by_user.start, by_user.order, users)
    users *= -1  # `left` is the gradient of what is taken away from the sum
    sum_rows(by_origin, lists.owner_start, lists.owner, out)


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
    lengths: Ints,
    scale: Floats,
    unit: Floats,
    inverse: Floats,
    q: Floats,
) -> None:
    """`q` (B, K) = exp(g) `unit`, with `unit` (B, K) = v times `inverse` (B), v = total[owner] - h[positive].

    `total` (n_u, K) sums the histories, which are `lengths` (n_u) long; `h` (n, K); `owner` (B) is the row of each
    triplet's user, `positive` (B) that of its positive, which is one of their items; `scale` (1) holds g. Where the
    positive is all of the history, all three are 0.
    """
    v = total[owner] - h[positive]
    others = lengths[owner] > 1
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
