"""This project's evaluation: the five metrics, and coverage and every group of items besides."""

from __future__ import annotations

from milk_np.evaluation.evaluate import evaluate
from peers.evaluation import CUTOFFS, METRICS, SPLIT, Evaluation
from peers.milk_engine import dataset


class Program(Evaluation):
    """Computes more than is compared here; nothing of it is left out."""

    def __init__(self, problem) -> None:
        super().__init__(problem)
        self.ds = dataset(problem)

    def evaluate(self) -> None:
        metrics = evaluate((self.users, self.items), self.ds, SPLIT, topk=CUTOFFS).metrics
        self.figures = {f"{name}@{k}": metrics[f"{name}@{k}"] for k in CUTOFFS for name in METRICS}
