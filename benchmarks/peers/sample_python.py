"""Negatives as the authors' data set draws them: one at a time in Python, again while the user has the item."""

from __future__ import annotations

import numpy as np


class Program:
    """Every sampler: `draw()` is timed and draws one epoch, `epoch()` gives its triplets u, i, j."""

    def __init__(self, problem) -> None:
        train = problem.split == 0
        self.user, self.item = problem.user[train], problem.item[train]
        self.items = problem.shape.items
        self.seen: dict[int, set[int]] = {}
        for user, item in zip(self.user.tolist(), self.item.tolist(), strict=True):
            self.seen.setdefault(user, set()).add(item)
        self.rng = np.random.RandomState(0)

    def draw(self) -> None:
        order = self.rng.permutation(len(self.user))
        self.u, self.i = self.user[order], self.item[order]
        self.j = np.array([self.negative(user) for user in self.u.tolist()], np.int32)

    def negative(self, user: int) -> int:
        """An item that the user hasn't."""
        while True:
            item = self.rng.randint(self.items)
            if item not in self.seen[user]:
                return item

    def epoch(self) -> dict[str, np.ndarray]:
        self.draw()
        return {"u": self.u, "i": self.i, "j": self.j}
