"""This project's sampler: batches drawn one by one, as training takes them."""

from __future__ import annotations

import numpy as np

from milk_np.backends.select import get_backend
from milk_np.training.sampler import TripletSampler
from peers.milk_engine import dataset


class Program:
    """See peers/sample_python.py for the contract."""

    def __init__(self, problem) -> None:
        size = problem.shape.batch
        self.sampler = TripletSampler(get_backend(), dataset(problem), negatives="all", batch_size=size, seed=0)
        self.number = 0

    def draw(self) -> None:
        self.number += 1
        self.batches = [self.sampler.batch(self.number, step) for step in range(self.sampler.steps)]

    def epoch(self) -> dict[str, np.ndarray]:
        self.draw()
        halves = [np.split(items, 2) for _, items in self.batches]
        user = np.concatenate([user for user, _ in self.batches])
        return {"u": user, "i": np.concatenate([i for i, _ in halves]), "j": np.concatenate([j for _, j in halves])}
