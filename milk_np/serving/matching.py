"""A model meets data: which of its users and items are those of the data, by id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Arrays
from milk_np.errors import DataError
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.prints import item_prints, pairs_print

_ADVICE = "prepare the data with ids (user and item columns, --item-ids), or give the data set of the training"


@dataclass(frozen=True, eq=False)
class Match:
    """Numbers in a model's catalogue of the users (U) and the items (I) of other data; -1 for those unknown to it."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]


def match(known: Catalogue, ds: Arrays) -> Match:
    """Where the users and items of `ds` stand in the catalogue `known`.

    They are matched by id. Where there are no ids the numbers are the ids, if fingerprints of the contents agree: of
    all pairs for users, of an item's features for items. Raises DataError where they don't.
    """
    by_id = known.item_ids is not None and ds.item_ids is not None
    items = known.items.find(ds.item_ids) if by_id else _items_by_number(known, ds)
    named = [side.user_ids is not None for side in (known, ds)]
    users = known.users.find(user_names(ds)) if any(named) else _users_by_number(known, ds)
    found = Match(users, items)
    if (not by_id and known.item_prints is None) or (not any(named) and known.pairs_print is None):
        _refuse_strangers(known, ds, found, 0.0)
    elif any(named) and not all(named):
        _refuse_strangers(known, ds, found, 0.5)
    return found


def user_names(ds: Arrays | Catalogue) -> NDArray[np.str_]:
    """Ids of the users (U,); their numbers as text where there are none."""
    return np.arange(ds.n_users).astype(np.str_) if ds.user_ids is None else ds.user_ids


def item_names(ds: Arrays | Catalogue) -> NDArray[np.str_]:
    """Ids of the items (I,); their numbers as text where there are none."""
    return np.arange(ds.n_items).astype(np.str_) if ds.item_ids is None else ds.item_ids


def _items_by_number(known: Catalogue, ds: Arrays) -> NDArray[np.int32]:
    """Items without ids: the rows of the features have to be the same, as far as both go."""
    numbers = np.arange(ds.n_items, dtype=np.int32)
    if known.item_prints is None:  # a file of version 0.1.0, or ids on one side only: the pairs have to tell
        if known.n_items != ds.n_items:
            raise DataError(_differs("items", f"expected {known.n_items} as in training, got {ds.n_items}"))
        return numbers
    both = min(known.n_items, ds.n_items)
    other = np.flatnonzero(known.item_prints[:both] != item_prints(ds)[:both])
    if len(other):
        what = f"{len(other)} of {both} items have other features than in training, first item {other[0]}"
        raise DataError(_differs("items", what))
    numbers[both:] = -1
    return numbers


def _users_by_number(known: Catalogue, ds: Arrays) -> NDArray[np.int32]:
    if known.n_users != ds.n_users:
        raise DataError(_differs("users", f"expected {known.n_users} as in training, got {ds.n_users}"))
    if known.pairs_print is not None and str(known.pairs_print) != pairs_print(ds):
        raise DataError(_differs("users", "the pairs are not those of the training data"))
    return np.arange(ds.n_users, dtype=np.int32)


def _refuse_strangers(known: Catalogue, ds: Arrays, found: Match, share: float) -> None:
    """Where a number stood for an id and no fingerprint tells: the data must have the model's training pairs, all but
    a `share` of them."""
    wanted = _kept_pairs(known, found)
    lost = int((~np.isin(wanted, _pairs_of(ds, found))).sum())
    if lost > share * len(wanted) or not len(wanted):
        what = f"{lost} of {len(wanted)} training pairs of the model are not in the data"
        raise DataError(_differs("users and items", what))


def _kept_pairs(known: Catalogue, found: Match) -> NDArray[np.int64]:
    """Training pairs of the model whose user and item are both in the data, as keys."""
    users = np.repeat(np.arange(known.n_users), np.diff(known.seen_indptr))
    here = np.isin(users, found.users) & np.isin(known.seen_items, found.items)
    return users[here].astype(np.int64) << 32 | known.seen_items[here]


def _pairs_of(ds: Arrays, found: Match) -> NDArray[np.int64]:
    user, item = found.users[ds.user], found.items[ds.item]
    both = (user >= 0) & (item >= 0)
    return user[both].astype(np.int64) << 32 | item[both]


def _differs(what: str, how: str) -> str:
    return f"--data: {what} without ids can't be told apart: {how}; {_ADVICE}"
