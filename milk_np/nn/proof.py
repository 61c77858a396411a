"""The proof that `milk-doctor` shows: each term of the objective against finite differences, on a small random case."""

from __future__ import annotations

import numpy as np

from milk_np.backend import NumpyBackend
from milk_np.nn.environments import mixing_weights
from milk_np.nn.gradcheck import check_direction
from milk_np.nn.objective import Objective, Table, Weights, parts
from milk_np.nn.parameters import initial_parameters

USERS, ITEMS, TRIPLETS, WIDTHS, LATENT = 9, 14, 40, (7, 5, 3), 6

TERMS = {
    "risk of the environments": Weights(0.0, 0.0, 0.0),
    "variance of the risk": Weights(50.0, 0.0, 0.0),
    "alignment of modalities": Weights(0.0, 2.0, 0.0),
    "regulariser": Weights(0.0, 0.0, 2.0),
    "whole objective": Weights(50.0, 0.5, 1e-4),
}


def prove(seed: int = 0) -> list[tuple[str, float]]:
    """Name and relative error of each term's gradient along a random direction of all parameters, in float64."""
    return [(name, _error(weights, seed)) for name, weights in TERMS.items()]


def _error(weights: Weights, seed: int) -> float:
    rng = np.random.default_rng(seed)
    backend = NumpyBackend("reference")
    owned = rng.random((ITEMS, len(WIDTHS))) < 0.8
    source, scale = np.arange(ITEMS, dtype=np.int32), np.ones(ITEMS, np.float32)
    tables = [
        Table(rng.standard_normal((ITEMS, D)).astype(np.float32), np.empty((0, D), np.float32), source, scale)
        for D in WIDTHS
    ]
    params = initial_parameters(backend, USERS, WIDTHS, LATENT, seed, np.float64)
    objective = Objective(backend, tables, owned, USERS, weights)
    users = rng.integers(0, USERS, TRIPLETS).astype(np.int32)
    items = rng.integers(0, ITEMS, 2 * TRIPLETS).astype(np.int32)
    theta = mixing_weights(seed, 1, 1, len(WIDTHS), 0.5)[0]
    record = np.zeros((1, len(theta) + 2))

    def loss() -> float:
        objective(params, users, items, theta, record[0])
        return parts(record, weights)["total"]

    gradients = objective(params, users, items, theta, record[0])
    dP = np.zeros_like(params.P)
    dP[gradients.users] = gradients.P
    claimed = [dP, *(x.copy() for pair in zip(gradients.W, gradients.b, strict=True) for x in pair)]
    return check_direction(loss, [x for _, x in params.arrays()], claimed, seed=seed).error
