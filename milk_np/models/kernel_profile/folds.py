"""Folds of training items that are held out as if they were new, and what their users are known by without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from milk_np.models.base import Vectors
from milk_np.models.kernel_profile.limits import HELD_USERS
from milk_np.models.kernel_profile.smoothing import Smoothing
from milk_np.models.kernel_profile.spans import row_slices

Numbers = NDArray[np.intp]

USER_ROWS = 1024
"""Users of a task."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Items that are held out together, and the users as they are known without them."""

    order: Numbers
    """Places of the items held out among all items; those held out with the same modalities are next to each other."""
    rows: slice
    """Where these items stand, in this order, when all are ordered by folds."""
    direct: list[tuple[slice, Any]]
    """Slices of the users who chose such items and, of these, (u, n), sparse; with `left` (U, r) and the right sides
    (r, n) of the smoothing, direct + left right is Y, but that it is zero in the columns of the items held out."""
    left: Vectors
    user: Numbers
    """(P,) and `item` (P,): the pairs of users with items held out, by their number in `order`."""
    item: Numbers

    @classmethod
    def of(
        cls,
        R: tuple[Any, Any],
        smoothing: Smoothing,
        items: Numbers,
        rows: slice,
        order: Numbers,
        rng: np.random.Generator,
    ) -> Self:
        """The fold that stands at `rows` of the training items `items` (n,), for at most HELD_USERS users.

        R (U, all) is given twice, by rows and by columns.
        """
        by_rows, by_columns = R
        pairs = by_columns[:, items[rows]].tocsr()
        users = np.sort(rng.permutation(np.flatnonzero(np.diff(pairs.indptr)))[:HELD_USERS])
        chosen = pairs[users].tocoo()
        outside = np.ones(by_rows.shape[1])
        outside[items[rows]] = 0
        known = by_rows[users] @ sparse.diags_array(outside)
        known.eliminate_zeros()
        direct, left, _ = smoothing.parts(known, items)
        parts = [(part, direct[part].astype(np.float32)) for part in row_slices(len(users), USER_ROWS)]
        return cls(order, rows, parts, left.astype(np.float32), *(x.astype(np.int64) for x in chosen.coords))

    def right(self, right: Vectors, features: Vectors, whole: Vectors) -> Vectors:
        """right F (r, L) without the items held out, from `whole`, that of all; `right` (r, n), `features` F (n, L)."""
        out: Vectors = whole - right[:, self.rows] @ features[self.rows]
        return out


def without_one(owned: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """`owned` (n, M), less one at random for half of the items that own several."""
    out = owned.copy()
    some = np.flatnonzero((owned.sum(axis=1) > 1) & (rng.random(len(owned)) < 0.5))
    out[some, np.argmax(rng.random(owned[some].shape) * owned[some], axis=1)] = False
    return out
