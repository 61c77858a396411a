"""Lists: new items for users, users for an item, similar items. Users and items are numbers here; see `identity`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.rows import unit_rows
from milk_np.errors import DataError, SettingsError
from milk_np.kernels.blas import one_blas_thread
from milk_np.serving.histories import Ids, compressed
from milk_np.serving.ranked import Ranked as Ranked
from milk_np.serving.ranking import Rows, Scorer, best_candidates, chosen_rows, finite, meeting, search_of
from milk_np.serving.rows import Exclusions, inside, padded, union
from milk_np.serving.users import best_users, known_users
from milk_np.serving.users import served_users as served_users

NOTHING = Exclusions()


class Known(Protocol):
    """What recommending needs of a data set: its sizes, new items and training pairs."""

    @property
    def n_users(self) -> int:
        """Number of users U."""

    @property
    def n_items(self) -> int:
        """Number of items I."""

    def new_items(self, split: int | None = None) -> NDArray[np.int32]:
        """New items, ascending."""

    def all_items(self) -> NDArray[np.int32]:
        """Every item that can be listed, ascending."""

    def interactions(self, split: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Users and items of the pairs of a split, sorted by user, then item."""

    def csr(self, split: int) -> Rows:
        """Items of the pairs of a split, one row per user."""


class Historian(Scorer, Protocol):
    """A model that represents users by the items they chose."""

    def encode_users(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Vectors (n, K) of users who weren't in training, from the numbers of the items that each of them chose."""


def recommend(
    model: Scorer,
    ds: Known,
    users: Ids | None = None,
    k: int = 20,
    *,
    candidates: str | Ids = "new",
    exclude_seen: bool = True,
    exclude: Exclusions = NOTHING,
) -> Ranked:
    """The best `k` items for each of `users` (all of them by default).

    Parameters
    ----------
    model : Scorer
    ds : Dataset
    users : numbers of users, optional
    k : int
        Length of a list; padded with -1 if there are fewer candidates.
    candidates : "new" (items without training pairs), "all", or numbers of items
    exclude_seen : bool
        Leave out items with which the user has a training pair.
    exclude : Exclusions
        What lists must not hold.

    Raises
    ------
    SettingsError
        If k is below 1.
    DataError
        If a user or item is out of range.
    """
    how: dict[str, Any] = {"candidates": candidates, "exclude_seen": exclude_seen, "exclude": exclude}
    parts = list(recommend_blocks(model, ds, users, k, **how))
    if not parts:
        return Ranked(np.zeros(0, np.int32), np.zeros((0, k), np.int32), np.zeros((0, k), np.float32))
    fields = zip(*((part.query, part.found, part.score) for part in parts), strict=True)
    query, found, score = (np.concatenate(field) for field in fields)
    return Ranked(query, found, score)


def recommend_blocks(
    model: Scorer,
    ds: Known,
    users: Ids | None = None,
    k: int = 20,
    *,
    candidates: str | Ids = "new",
    exclude_seen: bool = True,
    exclude: Exclusions = NOTHING,
) -> Iterator[Ranked]:
    """Like `recommend`, one block of users at a time, so that memory doesn't grow with the number of users."""
    model, wanted = meeting(model, ds), _checked(np.arange(ds.n_users) if users is None else users, ds.n_users, "user")
    items = _choice(ds, candidates, exclude)
    length = _length(k, len(items))
    seen = chosen_rows(ds.csr(Split.TRAIN), wanted) if exclude_seen else None
    never = union(seen, exclude.rows(wanted))
    dropped = None if never is None else inside(never, items, ds.n_items)
    for lists in best_candidates(model, wanted, items, length, dropped):
        found = np.where(lists.position < 0, np.int32(-1), items[lists.position])
        yield Ranked(wanted[lists.rows], *padded(found, lists.score, k))


def recommend_for_histories(
    model: Historian,
    ds: Known,
    histories: Sequence[Ids],
    k: int = 20,
    *,
    candidates: str | Ids = "new",
    exclude: Exclusions = NOTHING,
) -> Ranked:
    """The best `k` items for users who weren't in training, each given by the items they chose, which are left out.

    The queries are positions in `histories`. Raises SettingsError if the model doesn't represent users by items.
    """
    model = cast(Historian, meeting(model, ds))
    items = _choice(ds, candidates, exclude)
    length = _length(k, len(items))
    wanted = np.arange(len(histories), dtype=np.int32)
    vectors = finite(model.encode_users(histories), "user", wanted)
    own = compressed(histories, ds.n_items)
    dropped = inside(union(own, exclude.rows(wanted)) or own, items, ds.n_items)
    position, score = search_of(model)(vectors, finite(model.item_factors(items), "item", items), length, *dropped)
    return Ranked(wanted, *padded(np.where(position < 0, np.int32(-1), items[position]), score, k))


def recommend_new_items(model: Scorer, ds: Known, vectors: NDArray[np.float32], users: Ids, k: int) -> Ranked:
    """The best `k` of brand-new items for each of `users`; vectors (n, K) come from `model.encode_items`.

    The found items are rows of `vectors`.
    """
    if not len(vectors):
        raise DataError("items: expected at least one new item, got none")
    model, wanted = meeting(model, ds), _checked(users, ds.n_users, "user")
    length = _length(k, len(vectors))
    new = finite(vectors, "item", np.arange(len(vectors), dtype=np.int32))
    found = search_of(model)(finite(model.user_factors(wanted), "user", wanted), new, length)
    return Ranked(wanted, *padded(*found, k))


@one_blas_thread()
def score_items(model: Scorer, ds: Known, vectors: NDArray[np.float32], users: Ids) -> NDArray[np.float32]:
    """Scores (n users, n items) of brand-new items; vectors (n, K) come from `model.encode_items`.

    They equal the scores of the lists up to float32 rounding, and may differ by as much with other users or items.
    """
    wanted = _checked(users, ds.n_users, "user")
    scores: NDArray[np.float32] = meeting(model, ds).user_factors(wanted) @ vectors.T
    return scores


def users_for_items(
    model: Scorer,
    ds: Known,
    items: Ids,
    k: int = 20,
    *,
    exclude_seen: bool = True,
    exclude: Exclusions = NOTHING,
) -> Ranked:
    """The best `k` users for each of `items`, by default without users who have a training pair with it.

    The pairs of `exclude` are of an item and a user that it must not get.
    """
    model, wanted = meeting(model, ds), _checked(items, ds.n_items, "item")
    length = _length(k, ds.n_users)
    known = union(
        known_users(ds.interactions(Split.TRAIN), ds.n_items, wanted) if exclude_seen else None, exclude.rows(wanted)
    )
    found = best_users(model, ds.n_users, model.item_factors(wanted), length, known)
    return Ranked(wanted, *padded(*found, k))


def users_for_new_items(model: Scorer, ds: Known, vectors: NDArray[np.float32], k: int = 20) -> Ranked:
    """The best `k` users for each brand-new item; vectors (n, K) come from `model.encode_items`.

    The queries are rows of `vectors`.
    """
    length = _length(k, ds.n_users)
    model = meeting(model, ds)
    rows = np.arange(len(vectors), dtype=np.int32)
    return Ranked(rows, *padded(*best_users(model, ds.n_users, vectors, length), k))


def similar_items(
    model: Scorer,
    ds: Known,
    items: Ids,
    k: int = 20,
    *,
    candidates: str | Ids = "all",
    exclude: Exclusions = NOTHING,
) -> Ranked:
    """The `k` candidates most similar to each of `items` by the cosine of their vectors, without the item itself."""
    model, wanted = meeting(model, ds), _checked(items, ds.n_items, "item")
    others = _choice(ds, candidates, exclude)
    length = _length(k, len(others))
    vectors = unit_rows(finite(model.item_factors(others), "item", others))
    queries = unit_rows(finite(model.item_factors(wanted), "item", wanted))
    own = np.arange(len(wanted) + 1), wanted
    dropped = inside(union(own, exclude.rows(wanted)) or own, others, ds.n_items)
    position, score = search_of(model)(queries, vectors, length, *dropped)
    return Ranked(wanted, *padded(np.where(position < 0, np.int32(-1), others[position]), score, k))


def candidate_items(ds: Known, candidates: str | Ids) -> NDArray[np.int32]:
    """Items to choose from, ascending: all "new" ones, "all", or those given."""
    if not isinstance(candidates, str):
        return np.unique(_checked(candidates, ds.n_items, "item"))
    if candidates == "all":
        return ds.all_items()
    if candidates == "new":
        return ds.new_items()
    raise SettingsError(f"candidates: expected new, all or numbers of items, got {candidates!r}")


def _choice(ds: Known, candidates: str | Ids, exclude: Exclusions) -> NDArray[np.int32]:
    """The candidates that some list may get, ascending; DataError if there are none."""
    items = candidate_items(ds, candidates)
    if not len(items):
        raise DataError("there are no new items; candidates='all' lists all items, and other data may have new ones")
    left = exclude.candidates(items)
    if not len(left):
        raise DataError(f"exclude: all of the {len(items):,} candidates are excluded; leave some of them")
    return left


def _checked(ids: Ids, n: int, kind: str) -> NDArray[np.int32]:
    array = np.asarray(ids)
    if array.shape == (0,):  # an empty list has no type of its own
        return np.zeros(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{kind}s: expected a 1-D integer array, got {array.dtype} of shape {array.shape}")
    outside = array[(array < 0) | (array >= n)]
    if len(outside):
        raise DataError(f"{kind}s: expected numbers from 0 to {n - 1}, got {outside[0]} ({len(outside)} in all)")
    return array.astype(np.int32)


def _length(k: int, n: int) -> int:
    """The length of lists of the best `k` of n; SettingsError if k is below 1."""
    if k < 1:
        raise SettingsError(f"topk: expected a length of at least 1, got {k}")
    return min(k, n)
