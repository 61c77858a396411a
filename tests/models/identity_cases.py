"""A small shop with ids, whose data change from day to day: for models that meet other data than their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset

WIDTHS = {"image": 8, "text": 6}
Pair = tuple[str, str]


class Shop:
    """Users u000, u001, ... and items i000, ...: what they are like, and what users choose."""

    def __init__(self, n_users: int = 90, n_items: int = 80, per_user: int = 14, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.users = [f"u{n:03}" for n in range(n_users)]
        self.items = [f"i{n:03}" for n in range(n_items)]
        taste, content = rng.normal(size=(n_users, 4)), rng.normal(size=(n_items, 4))
        self.rows = {
            name: dict(zip(self.items, self._shown(rng, content, width), strict=True)) for name, width in WIDTHS.items()
        }
        liked = np.argsort(-(taste @ content.T + rng.normal(size=(n_users, n_items))), axis=1)[:, :per_user]
        self.pairs = [(self.users[u], self.items[i]) for u in range(n_users) for i in liked[u]]

    def _shown(self, rng: np.random.Generator, content: NDArray[Any], width: int) -> NDArray[np.float32]:
        noise = 0.1 * rng.normal(size=(len(content), width))
        rows: NDArray[np.float32] = (content @ rng.normal(size=(4, width)) + noise).astype(np.float32)
        return rows

    def data(
        self,
        users: Sequence[str],
        items: Sequence[str],
        *,
        valid: Collection[str] = (),
        test: Collection[str] = (),
        pairs: Collection[Pair] | None = None,
        lacking: Collection[tuple[str, str]] = (),
    ) -> Dataset:
        """The pairs among some users and items, in the given order of both; (item, modality) `lacking` are missing."""
        at_user, at_item = ({name: n for n, name in enumerate(names)} for names in (users, items))
        kept = [pair for pair in (pairs or self.pairs) if pair[0] in at_user and pair[1] in at_item]
        item = np.array([at_item[i] for _, i in kept])
        touched = {i for _, i in kept}
        state = [1 if i in valid else 2 if i in test else 0 if i in touched else 3 for i in items]
        item_split = np.array(state, np.uint8)
        return Dataset(
            np.array([at_user[u] for u, _ in kept]),
            item,
            item_split[item],
            item_split,
            tuple(WIDTHS),
            {name: np.stack([self.rows[name][i] for i in items]) for name in WIDTHS},
            np.array([[(i, name) not in lacking for name in WIDTHS] for i in items]),
            np.array(users),
            np.array(items),
        )


def slow_list(scores: dict[str, float], seen: Collection[str], k: int) -> list[str]:
    """The best `k` by score, without what was seen."""
    return sorted((i for i in scores if i not in seen), key=lambda i: -scores[i])[:k]
