"""The matrix products of a training step and nothing else: the floor under every program that extracts the
batch.

Per step, for the n unique items of the batch, whose feature rows are taken as already gathered: C = X W and
dW = X^T dC for every modality, in NumPy float32 with preallocated results. No gather, no loss, no optimiser.
"""

from __future__ import annotations

import time

import numpy as np
from objective import Objective


class Program:
    """`run(steps)` does the products of that many batches; it returns no losses."""

    def __init__(self, problem, how: Objective) -> None:
        self.rows = [np.unique(np.concatenate(problem.batch(s)[1:3])).size for s in range(problem.steps)]
        most, dim = max(self.rows), problem.shape.dim
        start = problem.parameters
        self.x = [np.ascontiguousarray(rows[:most]) for rows in problem.x]
        self.W = [start[f"W{m}"] for m in range(len(self.x))]
        self.dW = [np.empty_like(W) for W in self.W]
        self.c = [np.empty((most, dim), np.float32) for _ in self.x]
        self.dc = np.random.default_rng(0).standard_normal((most, dim), dtype=np.float32)
        self.step = 0

    def run(self, steps: int) -> list[float]:
        """The products of `steps` batches."""
        for _ in range(steps):
            n = self.rows[self.step % len(self.rows)]
            for x, W, dW, c in zip(self.x, self.W, self.dW, self.c, strict=True):
                np.matmul(x[:n], W, out=c[:n])
                np.matmul(x[:n].T, self.dc[:n], out=dW)
            self.step += 1
        return []

    def phases(self, steps: int) -> dict[str, float]:
        """Seconds per step of the forward and the backward products."""
        seconds = {"extract_all": 0.0, "extract_all_backward": 0.0}
        for _ in range(steps):
            n = self.rows[self.step % len(self.rows)]
            for x, W, dW, c in zip(self.x, self.W, self.dW, self.c, strict=True):
                start = time.perf_counter()
                np.matmul(x[:n], W, out=c[:n])
                half = time.perf_counter()
                np.matmul(x[:n].T, self.dc[:n], out=dW)
                seconds["extract_all"] += half - start
                seconds["extract_all_backward"] += time.perf_counter() - half
            self.step += 1
        return {name: value / steps for name, value in seconds.items()}
