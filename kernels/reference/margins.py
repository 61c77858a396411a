"""Margins s^m_t = p_u . (c^m_i - c^m_j) of the triplets t = (u, i, j), and their backward pass."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.grouping import Groups


def margins(P: Floats, c: Floats, users: Ints, slot: Ints, out: Floats) -> None:
    """`out` (M, B): the margin of every triplet in every modality.

    `P` (U, K); `c` (M, n, K) extracted rows of the batch's distinct items; `users` (B); `slot` (2B) the rows of the
    positives, then of the negatives.
    """
    B = len(users)
    difference = c[:, slot[:B]] - c[:, slot[B:]]
    np.einsum("bk,mbk->mb", P[users], difference, out=out)


def margins_backward_users(c: Floats, slot: Ints, ds: Floats, by_user: Groups, out: Floats) -> None:
    """`out` (n_u, K): gradient of the rows `by_user.unique` of P, sum over their triplets of ds^m_t (c^m_i - c^m_j)."""
    B = ds.shape[1]
    per_triplet = np.einsum("mb,mbk->bk", ds, c[:, slot[:B]] - c[:, slot[B:]])
    out[...] = 0
    np.add.at(out, by_user.slot, per_triplet)


def margins_backward_items(P: Floats, users: Ints, ds: Floats, by_item: Groups, out: Floats) -> None:
    """`out` (M, n, K): gradient of `c`: + ds^m_t p_u at the positive's row, - ds^m_t p_u at the negative's."""
    B = len(users)
    per_triplet = ds[:, :, None] * P[users]
    out[...] = 0
    for m in range(len(out)):
        np.add.at(out[m], by_item.slot[:B], per_triplet[m])
        np.subtract.at(out[m], by_item.slot[B:], per_triplet[m])
