"""What every search program offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np


class Search(ABC):
    """`search()` finds the best k rows of items.npy (N, K) for each row of queries.npy (Q, K) by dot product."""

    index: np.ndarray
    score: np.ndarray

    def __init__(self, folder: str, k: int) -> None:
        self.queries, self.items = (np.load(Path(folder) / f"{name}.npy") for name in ("queries", "items"))
        self.k = k

    @abstractmethod
    def search(self) -> None:
        """Search, and keep what was found in `index` and `score`, (Q, k) best first."""

    def result(self) -> dict[str, np.ndarray]:
        """What was found."""
        return {"index": np.asarray(self.index), "score": np.asarray(self.score)}
