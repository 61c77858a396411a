"""faiss search and metrics in Python, user by user, as the authors' program and most recommender code do it."""

from __future__ import annotations

from math import log2

import faiss
import numpy as np

from peers.evaluation import CUTOFFS, METRICS, Evaluation


def truth(users: np.ndarray, items: np.ndarray) -> dict[int, set[int]]:
    """The items of each user."""
    sets: dict[int, set[int]] = {}
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        sets.setdefault(user, set()).add(item)
    return sets


DISCOUNT = [1.0 / log2(place + 2) for place in range(max(CUTOFFS))]


def score(ranked: list[int], wanted: set[int], k: int) -> tuple[float, ...]:
    """The metrics of one user's list cut at k, in the order of METRICS."""
    hits = [place for place, item in enumerate(ranked[:k]) if item in wanted]
    if not hits:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    reachable = min(k, len(wanted))
    gain = sum(DISCOUNT[place] for place in hits) / sum(DISCOUNT[:reachable])
    precision = sum((number + 1) / (place + 1) for number, place in enumerate(hits)) / reachable
    return len(hits) / len(wanted), gain, 1.0, 1.0 / (hits[0] + 1), precision


class Program(Evaluation):
    """The truth is gathered once, beforehand; the index is built at every evaluation, as the vectors have changed."""

    def __init__(self, problem) -> None:
        super().__init__(problem)
        faiss.omp_set_num_threads(2)
        self.truth = truth(*self.pairs)
        self.who = np.array(sorted(self.truth))

    def evaluate(self) -> None:
        flat = faiss.IndexFlatIP(self.items.shape[1])
        flat.add(self.items[self.new])
        _, places = flat.search(self.users[self.who], max(CUTOFFS))
        ranked = self.new[places].tolist()
        self.figures = {}
        for k in CUTOFFS:
            scores = [score(row, self.truth[user], k) for row, user in zip(ranked, self.who.tolist(), strict=True)]
            names = [f"{name}@{k}" for name in METRICS]
            self.figures |= dict(zip(names, np.mean(scores, axis=0).tolist(), strict=True))
