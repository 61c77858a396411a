"""What a choice needs of the training pairs: of a few items and the users who chose them, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from milk_np.models.base import Floats
from milk_np.models.kernel_profile.need import BLOCK_ROWS
from milk_np.models.kernel_profile.pairs import Lists, Pairs
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.spans import row_slices
from milk_np.rng import generator
from milk_np.serving.ranking import chosen_rows

Numbers = NDArray[np.intp]

MOST_USERS = 1 << 16
"""Users beyond which only so many of those who chose one of the items are looked at."""


def smoothed_gram(pairs: Pairs, smoother: Smoother, few: Numbers) -> Floats:
    """Y^T Y (k, k) of the columns `few` (k,) of Y = R B, from (R^T R) left and the pairs of the few items."""
    backend, right, own = pairs.backend, smoother.right[few], smoother.own[few]
    image = backend.copy(smoother.left)
    pairs.gram_times(image)
    among = backend.zeros((image.shape[1],) * 2, np.float64)
    for rows in row_slices(len(image), BLOCK_ROWS[backend.name]):
        backend.kernels.add_products(smoother.left[rows], image[rows], among)
    own, right, image, among = (backend.to_host(x).astype(np.float64) for x in (own, right, image[few], among))
    chosen = users_of(pairs, few)
    mixed = own[:, None] * (image @ right.T)
    out: Floats = own[:, None] * (chosen.T @ chosen).toarray() * own + mixed + mixed.T + right @ among @ right.T
    return out


def users_of(pairs: Pairs, items: Numbers) -> Any:
    """Columns `items` (k,) of R: (U, k), sparse."""
    return sparse.vstack(list(pairs.each(_columns, items.astype(np.int32))), format="csc")


def _columns(lists: Lists, items: NDArray[np.int32]) -> Any:
    """Columns `items` of the pairs of a span of users, sparse."""
    (indptr, _), own = lists.on_host()
    offsets, users = chosen_rows(own, items)
    return sparse.csc_array((np.ones(len(users)), users, offsets), (len(indptr) - 1, len(items)))


def pairs_with(pairs: Pairs, items: Numbers) -> Any:
    """R (users, n), sparse, of all users, or of MOST_USERS drawn among those who chose one of `items`."""
    U, users = pairs.shape[0], None
    if U > MOST_USERS:
        users = np.unique(users_of(pairs, items).indices)
        users = np.sort(generator(0, "users of a choice").permutation(users)[:MOST_USERS])
    return sparse.vstack(list(pairs.each(_rows, users)), format="csr")


def _rows(lists: Lists, users: NDArray[np.int32] | None) -> Any:
    """Rows `users`, or all, of the pairs of a span of users, sparse; others than those of the span are left out."""
    (indptr, item), (offsets, _) = lists.on_host()
    if users is not None:
        inside = users[(users >= lists.first) & (users < lists.first + len(indptr) - 1)]
        indptr, item = chosen_rows((indptr, item), (inside - lists.first).astype(np.int32))
    return sparse.csr_array((np.ones(len(item)), item, indptr), (len(indptr) - 1, len(offsets) - 1))
