"""implicit's top-K on the CPU, by blocks of queries as its recommend() is used for many users."""

from __future__ import annotations

import numpy as np
from implicit.cpu.topk import topk

from peers.search import Search


class Program(Search):
    """implicit.cpu.topk."""

    def __init__(self, folder: str, k: int, rows: int = 1000) -> None:
        super().__init__(folder, k)
        self.rows = rows

    def search(self) -> None:
        parts = [
            topk(self.items, self.queries[start : start + self.rows], self.k, num_threads=2)
            for start in range(0, len(self.queries), self.rows)
        ]
        self.index, self.score = (np.concatenate(many) for many in zip(*parts, strict=True))
