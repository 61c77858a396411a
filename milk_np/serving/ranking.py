"""What evaluation and recommendation share: vectors to rank with, and the best candidates for many users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.errors import DivergedError

_BLOCK_BYTES = 1 << 26
_BLOCK_USERS = 1 << 16

TopK = Callable[..., tuple[NDArray[np.int32], NDArray[np.float32]]]
"""A kernel such as `milk_np.kernels.cpu.topk.top_k`."""
Rows = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Compressed rows: those of row r are `[1][[0][r]:[0][r + 1]]`, ascending."""


class Scorer(Protocol):
    """A model to rank with: a pair's score is the dot product of its vectors, (n, K) float32 each."""

    def user_factors(self, users: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Vectors of `users`, or of all."""

    def item_factors(self, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Vectors of `items`, or of all."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Plain vectors of all users (U, K) and all items (I, K), as a model to rank with."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]

    def user_factors(self, users: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Vectors of `users`, or of all."""
        return self.users if users is None else self.users[users]

    def item_factors(self, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Vectors of `items`, or of all."""
        return self.items if items is None else self.items[items]


@dataclass(frozen=True, eq=False)
class Lists:
    """Best candidates of the users `rows` of a call: positions (n, k), -1 for none, and scores."""

    rows: slice
    position: NDArray[np.int32]
    score: NDArray[np.float32]


def best_candidates(
    model: Scorer,
    users: NDArray[np.int32],
    candidates: NDArray[np.int32],
    k: int,
    exclude: Rows | None = None,
    top_k: TopK | None = None,
) -> Iterator[Lists]:
    """The best `k` of the items `candidates` for each of `users`, in blocks of users.

    `exclude` is (indptr, positions), one row for each of `users`: candidates that a user must not get. A
    block's user vectors take at most about 64 MB, whatever the number of users; no result depends on the
    blocks. Raises DivergedError if a vector is not finite.
    """
    search = top_k or search_of(model)
    items = finite(model.item_factors(candidates), "item", candidates)
    for rows in blocks(len(users), items.shape[1]):
        vectors = finite(model.user_factors(users[rows]), "user", users[rows])
        yield Lists(rows, *search(vectors, items, k, *_part(exclude, rows)))


def finite(vectors: NDArray[np.float32], kind: str, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """`vectors` unchanged, or DivergedError if some of them hold a NaN or an infinity."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DivergedError(
            f"{kind} vectors: expected finite numbers, got NaN or infinity for {len(bad)} of {len(ids)} "
            f"{kind}s, first {kind} {ids[bad[0]]}; train again with a smaller learning rate"
        )
    return vectors


def blocks(n_users: int, width: int) -> Iterator[slice]:
    """Slices of users whose float32 vectors take at most about 64 MB."""
    step = max(1, min(_BLOCK_USERS, _BLOCK_BYTES // (4 * max(1, width))))
    for start in range(0, n_users, step):
        yield slice(start, min(start + step, n_users))


def _part(exclude: Rows | None, rows: slice) -> Rows | tuple[None, None]:
    """The exclusions of the users `rows`."""
    if exclude is None:
        return None, None
    indptr = exclude[0][rows.start : rows.stop + 1]
    return indptr - indptr[0], exclude[1][indptr[0] : indptr[-1]]


def chosen_rows(rows: Rows, chosen: NDArray[np.int32]) -> Rows:
    """The compressed rows `chosen`, in that order."""
    indptr, entries = rows
    counts = np.diff(indptr)[chosen]
    ends = np.cumsum(counts)
    places = np.arange(int(counts.sum())) + np.repeat(indptr[chosen] - ends + counts, counts)
    return np.concatenate([[0], ends]), entries[places]


def meeting(model: Scorer, ds: object) -> Scorer:
    """The model on the users and items of a data set, where it knows them by id: it may be trained on other data."""
    on = getattr(model, "on", None)
    return cast(Scorer, on(ds)) if on is not None and isinstance(ds, Dataset) else model


def search_of(model: object) -> TopK:
    """The model's own kernel if it has one; otherwise the CPU's."""
    search: TopK | None = getattr(model, "top_k", None)
    return search or cpu_top_k()


def cpu_top_k() -> TopK:
    """The kernel for the CPU, imported when it is first needed because it loads Numba."""
    from milk_np.kernels.cpu.topk import top_k

    return top_k
