"""The engine's products and searches by width, and OpenBLAS's product of square matrices, each on one thread."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from lab_kernels import table_of

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference
from milk_np.kernels.cpu import topk
from milk_np.kernels.cpu.inputs import exclusions, fixed

TOLERANCE = 1e-5
BEST = 20


def require_equal(name: str, found: np.ndarray, exact: np.ndarray, tolerance: float) -> None:
    """RuntimeError if a result is further from the exact one than a share of its greatest element."""
    off = np.abs(found.astype(np.float64) - exact).max()
    if not off <= tolerance * np.abs(exact).max():
        raise RuntimeError(f"{name} computes something else: {off:.3g} away")


class Program:
    """Calls by kernel, type of the features and width K; each is checked when it is made."""

    def __init__(self, quick: bool) -> None:
        self.quick, self.calls = quick, dict[str, Callable[[], Any]]()
        self.tables: dict[bool, Any] = {}

    def prepare(self, kernel: str, half: bool, width: int) -> float:
        """Make the call `kernel half width`; returns its billions of operations."""
        make = {"x W": self._forward, "x^T g": self._backward, "square": self._square}.get(kernel, self._search)
        call, operations = make(kernel, half, width)
        self.calls[f"{kernel} {half} {width}"] = call
        return 1e-9 * operations

    def run(self, name: str) -> None:
        self.calls[name]()

    def _table(self, half: bool, width: int) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Table and rows, made once for each type; W, g, and the rows gathered."""
        if half not in self.tables:
            table, rows, W, _ = table_of(argparse.Namespace(quick=self.quick, half=half, dim=1))
            self.tables[half] = table, rows, cpu.gather(*table, rows, np.empty((len(rows), len(W)), np.float32))
        table, rows, x = self.tables[half]
        rng = np.random.default_rng(width)
        W, g = (rng.standard_normal((n, width), dtype=np.float32) for n in (x.shape[1], len(x)))
        return table, rows, W, g, x

    def _forward(self, name: str, half: bool, width: int) -> tuple[Callable[[], Any], int]:
        table, rows, W, _, x = self._table(half, width)
        b, c = np.zeros(width, np.float32), np.empty((len(rows), width), np.float32)
        cpu.extract(*table, rows, W, b, c)
        require_equal(name, c, x.astype(np.float64) @ W, TOLERANCE)
        return lambda: cpu.extract(*table, rows, W, b, c), 2 * x.size * width

    def _backward(self, name: str, half: bool, width: int) -> tuple[Callable[[], Any], int]:
        table, rows, W, g, x = self._table(half, width)
        dW, db = np.empty_like(W), np.empty(width, np.float32)
        cpu.extract_backward(*table, rows, g, dW, db)
        require_equal(name, dW, x.astype(np.float64).T @ g, TOLERANCE)
        return lambda: cpu.extract_backward(*table, rows, g, dW, db), 2 * x.size * width

    def _search(self, name: str, half: bool, width: int) -> tuple[Callable[[], Any], int]:
        rng = np.random.default_rng(width)
        Q, N = (50, 300) if self.quick else (1024, 20_000)
        queries, items = (fixed(rng.integers(-3, 4, (n, width)), np.float32) for n in (Q, N))
        rows = exclusions(Q, None, None)
        ways = {
            "best 20": lambda: cpu.top_k(queries, items, BEST),
            "best 20, all scores": lambda: topk._searched(queries, items, BEST, rows),
        }
        require_equal(name, ways[name]()[1], reference.top_k(queries, items, BEST)[1], 0.0)  # whole numbers: exact
        return ways[name], 2 * Q * N * width

    def _square(self, name: str, half: bool, width: int) -> tuple[Callable[[], Any], int]:
        a, b, c = (np.full((width, width), 0.5, np.float32) for _ in range(3))
        return lambda: np.matmul(a, b, out=c), 2 * width**3
