"""Numbers that tables start from, drawn on the host: either device starts from the same bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from milk_np.nn.keyed import normals, uniforms

Start = NDArray[np.float32]
TAIL = 0.022750131948179195
"""Share of a normal distribution beyond two deviations on one side."""


def normal(shape: tuple[int, ...], deviation: float, seed: int, stream: str) -> Start:
    """Normal numbers of that deviation."""
    drawn: Start = np.float32(deviation) * normals(np, shape, np.float32, seed, stream)
    return drawn


def truncated(shape: tuple[int, ...], deviation: float, seed: int, stream: str) -> Start:
    """Normal numbers, those beyond two deviations drawn anew (TensorFlow's `truncated_normal`)."""
    shares = uniforms(np, int(np.prod(shape)), seed, stream).reshape(shape)
    drawn: Start = (deviation * ndtri(TAIL + (1 - 2 * TAIL) * shares)).astype(np.float32)
    return drawn


def uniform(shape: tuple[int, ...], bound: float, seed: int, stream: str) -> Start:
    """Numbers from -bound to bound."""
    shares = uniforms(np, int(np.prod(shape)), seed, stream).reshape(shape)
    drawn: Start = (bound * (2 * shares - 1)).astype(np.float32)
    return drawn


def glorot(shape: tuple[int, int], seed: int, stream: str) -> Start:
    """Uniform numbers up to sqrt(6 / (rows + columns)) (Glorot and Bengio 2010)."""
    return uniform(shape, (6 / sum(shape)) ** 0.5, seed, stream)


def tower_start(tower: str, D: int, H: int, K: int, draw: dict[str, Start]) -> dict[str, Start]:
    """Tables of `milk_np.nn.tower` with the drawn weights "W1" (D, H) and "W2" (H, K); biases 0, batch norm plain."""
    rest = {"b1": np.zeros(H), "gamma": np.ones(H), "beta": np.zeros(H), "b2": np.zeros(K)}
    running = {"mean": np.zeros(H), "var": np.ones(H)}
    return {f"{tower}_{name}": np.asarray(x, np.float32) for name, x in {**draw, **rest, **running}.items()}
