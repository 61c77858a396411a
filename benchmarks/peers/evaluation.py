"""What every evaluation program offers, and the vectors and truth that all are given."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

CUTOFFS = (10, 20)
METRICS = ("recall", "ndcg", "hr", "mrr", "map")
SPLIT = 2


class Evaluation(ABC):
    """`evaluate()` ranks all new items for every user with a test pair, and keeps five metrics at 10 and 20."""

    figures: dict[str, float]

    def __init__(self, problem) -> None:
        start = problem.parameters
        self.users = start["P"]
        self.items = sum(x @ start[f"W{m}"] for m, x in enumerate(problem.x)) / np.float32(len(problem.shape.widths))
        self.new = np.flatnonzero(problem.item_split > 0).astype(np.int32)
        test = problem.split == SPLIT
        self.pairs = problem.user[test], problem.item[test]

    @abstractmethod
    def evaluate(self) -> None:
        """Fill `figures` with recall@10 and so on, means over the users; definitions of milk_np.evaluation.metrics."""

    def result(self) -> dict[str, np.ndarray]:
        """The figures as arrays."""
        return {name: np.float64(value) for name, value in self.figures.items()}
