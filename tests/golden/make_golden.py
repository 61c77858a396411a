"""Writes golden.npz: ten optimiser steps of a small model and the gradients of the first, in the NumPy references.

Run it only when the mathematics is meant to change: `python tests/golden/make_golden.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from milk_np.backends.numba import NumpyBackend
from milk_np.models.extractors.objective import BackendTable, Objective, Weights
from milk_np.models.extractors.optimiser import LazyAdam
from milk_np.models.extractors.parameters import initial_parameters

GOLDEN = Path(__file__).parent / "golden.npz"
STEPS, USERS, ITEMS, TRIPLETS, WIDTHS, LATENT, ENVIRONMENTS = 10, 12, 20, 33, (6, 4, 9), 5, 4


def run(backend: NumpyBackend, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """Losses, gradients of the first step and parameters after the last. All input is made by plain arithmetic, so
    that it is the same on every machine and under every version of NumPy's generators."""
    owned = np.arange(ITEMS * len(WIDTHS)).reshape(ITEMS, -1) % 5 != 0
    tables = []
    for m, D in enumerate(WIDTHS):
        source = np.where(owned[:, m], np.arange(ITEMS), ~0).astype(np.int32)
        raw, fill = wave((ITEMS, D), m + 1).astype(np.float32), wave((1, D), m + 5).astype(np.float32)
        tables.append(BackendTable(raw, fill, source, np.full(ITEMS, 0.5, np.float32)))
    params = initial_parameters(backend, USERS, WIDTHS, LATENT, 0, dtype)
    for i, (_, x) in enumerate(params.arrays()):
        x[...] = wave(x.shape, 10 + i)
    objective = Objective(backend, tables, owned, USERS, Weights(5.0, 0.3, 0.01))
    optimiser = LazyAdam(backend, params, 0.01)
    out = {}
    record = np.zeros((STEPS, ENVIRONMENTS + 2))
    for step in range(STEPS):
        users = (np.arange(TRIPLETS) * (step + 2) % USERS).astype(np.int32)
        items = (np.arange(2 * TRIPLETS) * (step + 3) % ITEMS).astype(np.int32)
        weights = np.abs(wave((ENVIRONMENTS, len(WIDTHS)), 20 + step)) + 0.1
        theta = (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)
        optimiser.catch_up(objective.group(users).unique)
        gradients = objective(params, users, items, theta, record[step])
        if step == 0:
            out |= {"users": gradients.users.copy(), "dP": gradients.P.copy()}
            out |= {f"dW{m}": x.copy() for m, x in enumerate(gradients.W)}
            out |= {f"db{m}": x.copy() for m, x in enumerate(gradients.b)}
        optimiser.step(gradients)
    optimiser.catch_up()
    return {**out, "record": record, **{name: x.copy() for name, x in params.arrays()}}


def wave(shape: tuple[int, ...], shift: int) -> np.ndarray:
    """Numbers in -0.5..0.5 without a pattern that matters."""
    return ((np.arange(np.prod(shape)) * 37 + shift * 11) % 101 / 101 - 0.5).reshape(shape)


if __name__ == "__main__":
    np.savez(GOLDEN, **run(NumpyBackend("reference")))
    print(f"{GOLDEN}: written")
