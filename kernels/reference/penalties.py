"""Alignment of an item's modalities (paper Eq. 7) and the regulariser (paper Eq. 16), each with its backward pass."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.grouping import Groups


def positive_rows(slot: Ints, n: int) -> NDArray[np.bool_]:
    """(n) which distinct items of the batch are the positive of some triplet; `slot` (2B) as in `margins`."""
    positive = np.zeros(n, bool)
    positive[slot[: len(slot) // 2]] = True
    return positive


def alignment(
    c: Floats, rows: Ints, owned: NDArray[np.bool_], slot: Ints, weight: float, dc: Floats, term: Floats
) -> None:
    """Mean squared difference between the modalities of the batch's distinct positives, summed over modality pairs.

    `c` (M, n, K); `rows` (n) item ids; `owned` (I, M) says which modalities an item has. A pair of modalities counts
    the elements of the items that have both. Adds `weight` times the gradient to `dc`; `term` (1) float64 receives the
    unweighted term.
    """
    mine = owned[rows] & positive_rows(slot, len(rows))[:, None]
    total = 0.0
    for a, b in combinations(range(len(c)), 2):
        both = mine[:, a] & mine[:, b]
        elements = int(both.sum()) * c.shape[2]
        if elements:
            difference = c[a, both] - c[b, both]
            total += float(np.sum(difference.astype(np.float64) ** 2)) / elements
            step = 2 * weight / elements * difference
            dc[a, both] += step.astype(dc.dtype)
            dc[b, both] -= step.astype(dc.dtype)
    term[0] = total


def regulariser(
    P: Floats,
    c: Floats,
    by_user: Groups,
    by_item: Groups,
    weight: float,
    dP: Floats,
    dc: Floats,
    term: Floats,
) -> None:
    """Mean over the B triplets of |p_u|^2 + |z_i|^2 + |z_j|^2, with z = mean over modalities of c (environment 0).

    `by_user` groups the users (B), `by_item` the items (2B). Adds `weight` times the gradient to `dP` (n_u, K), the
    rows `by_user.unique` of P, and to `dc` (M, n, K); `term` (1) float64 receives the unweighted term.
    """
    M = len(c)
    B = len(by_user.slot)
    user_count, item_count = np.diff(by_user.start), np.diff(by_item.start)
    z = c.mean(axis=0)
    p = P[by_user.unique]
    total = float(user_count @ np.sum(p.astype(np.float64) ** 2, axis=1))
    total += float(item_count @ np.sum(z.astype(np.float64) ** 2, axis=1))
    dP += (2 * weight / B) * user_count[:, None].astype(dP.dtype) * p
    dc += (2 * weight / (B * M)) * item_count[:, None].astype(dc.dtype) * z
    term[0] = total / B
