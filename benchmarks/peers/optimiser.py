"""What every optimiser program offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

LR = 1e-3
CYCLE = 8  # different sets of touched rows and their gradients


class Optimiser(ABC):
    """`run(steps)` moves a table (n, width) by Adam; a step's gradient is zero outside `touched` random rows.

    What counts is dense Adam: rows without a gradient move too, for their moments decay.
    """

    def __init__(self, n: int, width: int, touched: int) -> None:
        rng = np.random.default_rng(0)
        self.table = rng.standard_normal((n, width), dtype=np.float32)
        self.whole = touched == n
        self.rows = [np.sort(rng.choice(n, touched, replace=False)).astype(np.int32) for _ in range(CYCLE)]
        # Gradients of very different sizes, as rare and frequent users have.
        self.grads = [rng.standard_normal((touched, width), dtype=np.float32) * np.float32(0.01) for _ in range(CYCLE)]
        self.number = 0

    def run(self, steps: int) -> None:
        """`steps` optimiser steps."""
        for _ in range(steps):
            at = self.number % CYCLE
            self.number += 1
            self.step(self.rows[at], self.grads[at])

    @abstractmethod
    def step(self, rows: np.ndarray, grad: np.ndarray) -> None:
        """Step `self.number` with the gradient `grad` (touched, width) of `rows`."""

    def settled(self) -> dict[str, np.ndarray]:
        """The table as dense Adam has it after the last step."""
        return {"table": np.asarray(self.table)}
