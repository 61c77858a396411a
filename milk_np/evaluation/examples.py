"""Lists of a few users as a reader of a report wants to see them: what they chose before, and what they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.share import Share
from milk_np.serving.identity import to_names
from milk_np.serving.ranking import Scorer
from milk_np.serving.recommend import recommend

USERS, LENGTH, HISTORY = 5, 10, 10
"""Users shown, length of their lists, and the most items of a history."""


def example_lists(model: Scorer, ds: Dataset, share: Share | None = None) -> list[dict[str, Any]]:
    """Lists of new items for a few users who have pairs in the test split, each from the rank whose user it is.

    The users are spread evenly over all such users in the order of the data set, so no result decides who is shown.

    Returns
    -------
    list of dict
        `user` (id), `history` (ids of training items, the first few), `n_history` (how many there are), and `list`,
        best first: for each item `item` (id), `score`, `missing` (its missing modalities) and `chosen`
        (whether the user has a test pair with it).
    """
    with_pairs = np.unique(ds.interactions(Split.TEST)[0])
    share = share or Share()
    ranks = share.ranks
    counts = ranks.all_values(len(with_pairs))
    total, before = sum(counts), sum(counts[: ranks.rank])
    places = np.linspace(0, total - 1, min(USERS, total)).round().astype(np.intp) - before
    users = with_pairs[places[(places >= 0) & (places < len(with_pairs))]]
    return [each for examples in ranks.all_values(_examples(model, ds, users, share.first_user)) for each in examples]


def _examples(model: Scorer, ds: Dataset, users: NDArray[np.int32], first_user: int) -> list[dict[str, Any]]:
    if not len(users):
        return []
    ranked = recommend(model, ds, users, min(LENGTH, len(ds.new_items())))
    return [
        _example(ds, int(user), found, score, first_user)
        for user, found, score in zip(users, ranked.found, ranked.score, strict=True)
    ]


def _example(
    ds: Dataset, user: int, found: NDArray[np.int32], score: NDArray[np.float32], first_user: int
) -> dict[str, Any]:
    history, chosen = _items_of(ds, user, Split.TRAIN), set(_items_of(ds, user, Split.TEST).tolist())
    return {
        "user": str(user + first_user) if ds.user_ids is None else str(ds.user_ids[user]),
        "history": _plain(to_names(history[:HISTORY], ds.item_ids)),
        "n_history": len(history),
        "list": [
            {"item": name, "score": round(float(value), 4), "missing": _missing(ds, item), "chosen": item in chosen}
            for name, item, value in zip(_plain(to_names(found, ds.item_ids)), found.tolist(), score, strict=True)
            if item >= 0
        ],
    }


def _items_of(ds: Dataset, user: int, split: Split) -> NDArray[np.int32]:
    start, items = ds.csr(split)
    return items[start[user] : start[user + 1]]


def _missing(ds: Dataset, item: int) -> list[str]:
    return [name for name, owned in zip(ds.modalities, ds.available[item], strict=True) if not owned]


def _plain(names: NDArray[Any]) -> list[str]:
    return [str(name) for name in names.tolist()]
