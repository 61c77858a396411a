"""Dense Adam in NumPy, in place, with two temporaries."""

from __future__ import annotations

import numpy as np

from peers.optimiser import LR, Optimiser


class Program(Optimiser):
    """Every array is float32 throughout."""

    def __init__(self, n: int, width: int, touched: int) -> None:
        super().__init__(n, width, touched)
        self.first, self.second = np.zeros_like(self.table), np.zeros_like(self.table)
        self.grad, self.work = np.zeros_like(self.table), np.empty_like(self.table)

    def step(self, rows: np.ndarray, grad: np.ndarray) -> None:
        self.grad.fill(0.0)
        self.grad[rows] = grad
        scale1, scale2 = 1.0 - 0.9**self.number, 1.0 - 0.999**self.number
        self.first *= 0.9
        self.first += np.multiply(self.grad, 0.1, out=self.work)
        self.second *= 0.999
        np.square(self.grad, out=self.work)
        self.work *= 0.001
        self.second += self.work
        np.divide(self.second, scale2, out=self.work)
        np.sqrt(self.work, out=self.work)
        self.work += 1e-8
        np.divide(self.first, self.work, out=self.work)
        self.work *= LR / scale1
        self.table -= self.work
