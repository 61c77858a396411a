"""The best users for items: a search in which the users are the candidates, in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.serving.ranking import Rows, Scorer, blocks, chosen_rows, finite, search_of
from milk_np.serving.rows import inside, within


def best_users(
    model: Scorer, n_users: int, vectors: NDArray[np.float32], k: int, known: Rows | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Best `k` users for each item vector, in blocks of users whose lists are merged; of those that have a vector."""
    served = served_users(model, n_users)
    known = None if known is None else inside(known, served, n_users)
    finite(vectors, "item", np.arange(len(vectors), dtype=np.int32))
    found, score = np.zeros((len(vectors), 0), np.int32), np.zeros((len(vectors), 0), np.float32)
    for block in blocks(len(served), vectors.shape[1]):
        ids = served[block]
        users = finite(model.user_factors(ids), "user", ids)
        exclude = (None, None) if known is None else within(known, block)
        position, value = search_of(model)(vectors, users, k, *exclude)
        found = np.hstack([found, np.where(position < 0, np.int32(-1), ids[position])])
        score = np.hstack([score, value])
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]  # ties: earlier blocks first
        found, score = np.take_along_axis(found, order, 1), np.take_along_axis(score, order, 1)
    return found, score


def served_users(model: Scorer, n_users: int) -> NDArray[np.int32]:
    """Users that have a vector, ascending: all, but on other data than those of the training."""
    servable = getattr(model, "servable", None)
    return np.arange(n_users, dtype=np.int32) if servable is None else np.flatnonzero(servable).astype(np.int32)


def known_users(pairs: tuple[NDArray[np.int32], NDArray[np.int32]], n_items: int, items: NDArray[np.int32]) -> Rows:
    """Users with one of the `pairs` (users, items) on each of `items`."""
    user, item = pairs
    order = np.argsort(item, kind="stable")
    counts = np.bincount(item, minlength=n_items)
    return chosen_rows((np.concatenate([[0], np.cumsum(counts)]), user[order]), items)
