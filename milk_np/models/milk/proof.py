"""The gradient check of `milk-doctor`: each term of the objective and finite differences, on a small random case."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.numba import NumpyBackend
from milk_np.models.extractors.objective import BackendTable, Gradients, Objective, Weights, parts
from milk_np.models.extractors.parameters import Parameters, initial_parameters
from milk_np.models.milk.environments import mixing_weights
from milk_np.models.milk.users import USERS, Histories, make_users
from milk_np.nn.gradcheck import check_direction

N_USERS, ITEMS, TRIPLETS, WIDTHS, LATENT = 9, 14, 40, (7, 5, 3), 6

WHOLE = Weights(50.0, 0.5, 1e-4)
TERMS = {
    "loss of the environments": Weights(0.0, 0.0, 0.0),
    "variance of the loss": Weights(50.0, 0.0, 0.0),
    "alignment of modalities": Weights(0.0, 2.0, 0.0),
    "L2 penalty": Weights(0.0, 0.0, 2.0),
    "whole objective": WHOLE,
}


def prove(seed: int = 0) -> list[tuple[str, float]]:
    """Name and relative error of each term's gradient along a random direction of all parameters, in float64."""
    by_history = [(f"whole, users {kind}", _error(WHOLE, seed, kind)) for kind in USERS if kind != "free"]
    return [(name, _error(weights, seed)) for name, weights in TERMS.items()] + by_history


def _error(weights: Weights, seed: int, kind: str = "free") -> float:
    rng = np.random.default_rng(seed)
    backend = NumpyBackend("reference")
    owned = rng.random((ITEMS, len(WIDTHS))) < 0.8
    source, scale = np.arange(ITEMS, dtype=np.int32), np.ones(ITEMS, np.float32)
    tables = [
        BackendTable(rng.standard_normal((ITEMS, D)).astype(np.float32), np.empty((0, D), np.float32), source, scale)
        for D in WIDTHS
    ]
    free_users, by_history = 0 if kind == "profile" else N_USERS, kind != "free"
    params = initial_parameters(backend, free_users, WIDTHS, LATENT, seed, np.float64, scaled=by_history)
    users = rng.integers(0, N_USERS, TRIPLETS).astype(np.int32)
    items = rng.integers(0, ITEMS, 2 * TRIPLETS).astype(np.int32)
    who = make_users(kind, backend, N_USERS, owned, histories_of(users, items[:TRIPLETS]))
    objective = Objective(backend, tables, owned, N_USERS, weights, who)
    theta = mixing_weights(seed, 1, 1, len(WIDTHS), 0.5)[0]
    record = np.zeros((1, len(theta) + 2))

    def loss() -> float:
        objective(params, users, items, theta, record[0])
        return parts(record, weights)["total"]

    claimed = dense_gradients(objective(params, users, items, theta, record[0]), params)
    return check_direction(loss, [x for _, x in params.arrays()], claimed, seed=seed).error


def histories_of(users: NDArray[np.int32], items: NDArray[np.int32]) -> Histories:
    """The distinct pairs of `users` and `items`, as the histories of `N_USERS` users."""
    pairs = np.unique(np.stack([users, items]), axis=1)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs[0], minlength=N_USERS))])
    return Histories(indptr, pairs[1])


def dense_gradients(gradients: Gradients, params: Parameters) -> list[NDArray[np.float64]]:
    """Copies of the gradients in the order of `params.arrays()`, that of P with all its rows."""
    dP = np.zeros_like(params.P)
    dP[slice(None) if gradients.users is None else gradients.users] = gradients.P
    scale = [] if gradients.scale is None else [gradients.scale.copy()]
    return [dP, *(x.copy() for pair in zip(gradients.W, gradients.b, strict=True) for x in pair), *scale]
