"""This project's Adam: dense in one pass, or by rows that make up for missed steps when they are next touched."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.cpu import adam, adam_catch_up, adam_rows
from peers.optimiser import LR, Optimiser


class Program(Optimiser):
    """By rows, unless all of them are touched."""

    def __init__(self, n: int, width: int, touched: int) -> None:
        super().__init__(n, width, touched)
        self.first, self.second = np.zeros_like(self.table), np.zeros_like(self.table)
        self.seen = np.zeros(n, np.int64)

    def step(self, rows: np.ndarray, grad: np.ndarray) -> None:
        if self.whole:
            adam(self.table, grad, self.first, self.second, LR, self.number)
            return
        adam_catch_up(self.table, self.first, self.second, self.seen, rows, LR, self.number - 1)
        adam_rows(self.table, grad, self.first, self.second, self.seen, rows, LR, self.number)

    def settled(self) -> dict[str, np.ndarray]:
        if not self.whole:
            everyone = np.arange(len(self.table), dtype=np.int32)
            adam_catch_up(self.table, self.first, self.second, self.seen, everyone, LR, self.number)
        return super().settled()
