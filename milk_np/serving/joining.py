"""What a model knows, joined with new data: users, items and pairs that were added, items that are gone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.matching import Match, item_names, user_names
from milk_np.serving.prints import item_prints
from milk_np.serving.ranking import Rows


@dataclass(frozen=True, eq=False)
class Joined:
    """A catalogue after it met data. Known users and items keep their numbers, new ones follow.

    Attributes
    ----------
    catalogue : Catalogue
    users, items : (U of the data,), (I of the data,) int32
        Their numbers in the catalogue; -1 for users that were not taken in.
    new_users, left_out : users of the data that were added, and that were not
    new_items, gone_items : items that were added, and that are not in the data
    new_pairs : pairs that were added
    unlearned_pairs : how many of these are on items that the model did not learn from
    """

    catalogue: Catalogue
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    new_users: int
    left_out: int
    new_items: int
    gone_items: int
    new_pairs: int
    unlearned_pairs: int


def join(known: Catalogue, ds: Dataset, found: Match, take_users: bool) -> Joined:
    """`known` joined with `ds`, of which every pair is taken as seen; new users only if `take_users`.

    `found` tells which users and items of `ds` are known. Pairs of before stay, so that `ds` may hold all pairs or the
    new ones alone; but an item that `ds` doesn't have is gone.
    """
    users = _numbered(found.users, known.n_users) if take_users else found.users
    items = _numbered(found.items, known.n_items)
    fresh = users[ds.user] >= 0
    seen, added = _union(known, users[ds.user][fresh], items[ds.item][fresh], max(int(users.max()) + 1, known.n_users))
    n_items = max(int(items.max()) + 1, known.n_items)
    trained = np.append(known.trained, np.zeros(n_items - known.n_items, np.bool_))
    gone = np.ones(n_items, np.bool_)
    gone[items] = False
    item_split = np.append(known.item_split, np.zeros(n_items - known.n_items, np.uint8))
    item_split[items] = ds.all_training().item_split
    named = _with_names(known, ds, users, items)
    unknown = int((found.users < 0).sum())
    return Joined(
        replace(named, item_split=item_split, seen_indptr=seen[0], seen_items=seen[1], trained=trained, gone=gone),
        users,
        items,
        new_users=unknown if take_users else 0,
        left_out=0 if take_users else unknown,
        new_items=int((found.items < 0).sum()),
        gone_items=int(gone.sum()),
        new_pairs=len(added),
        unlearned_pairs=int((~trained[added & 0xFFFFFFFF]).sum()),
    )


def _numbered(found: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """`found` with the unknown ones numbered from n."""
    out, unknown = found.copy(), found < 0
    out[unknown] = np.arange(n, n + int(unknown.sum()), dtype=np.int32)
    return out


def _union(
    known: Catalogue, user: NDArray[np.int32], item: NDArray[np.int32], n_users: int
) -> tuple[Rows, NDArray[np.int64]]:
    """Pairs of before and these, as compressed rows of users; and those that are new, as keys."""
    before_user, before_item = known.interactions(Split.TRAIN)
    before = before_user.astype(np.int64) << 32 | before_item
    now = user.astype(np.int64) << 32 | item
    keys = np.union1d(before, now)
    indptr = np.searchsorted(keys, np.arange(n_users + 1, dtype=np.int64) << 32)
    return (indptr, (keys & 0xFFFFFFFF).astype(np.int32)), np.setdiff1d(now, before)


def _with_names(known: Catalogue, ds: Dataset, users: NDArray[np.int32], items: NDArray[np.int32]) -> Catalogue:
    """`known` with the ids, or the fingerprints, of users and items that were added."""
    user_ids, item_ids, prints = known.user_ids, known.item_ids, known.item_prints
    if known.user_ids is not None or ds.user_ids is not None:
        user_ids = _placed(user_names(known), users, user_names(ds))
    if known.item_ids is not None or ds.item_ids is not None:
        item_ids, prints = _placed(item_names(known), items, item_names(ds)), None
    elif prints is not None:
        prints = np.append(prints, np.zeros(max(0, int(items.max()) + 1 - len(prints)), np.uint32))
        prints[items] = item_prints(ds)
    return replace(known, user_ids=user_ids, item_ids=item_ids, item_prints=prints, token=None)


def _placed(names: NDArray[np.str_], numbers: NDArray[np.int32], added: NDArray[np.str_]) -> NDArray[np.str_]:
    """`names` with those of `added` at their numbers; -1 is left out."""
    taken = numbers >= 0
    n = max(len(names), int(numbers.max(initial=-1)) + 1)
    out = np.full(n, "", np.promote_types(names.dtype, added.dtype))
    out[: len(names)] = names
    out[numbers[taken]] = added[taken]
    return out
