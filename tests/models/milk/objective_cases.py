"""Random batches over small tables for the proofs of the whole objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from milk_np.backends.numba import NumpyBackend
from milk_np.models.extractors.objective import BackendTable, Objective, Weights, parts
from milk_np.models.extractors.parameters import initial_parameters
from milk_np.models.milk.environments import STRATEGIES, mixing_weights
from milk_np.models.milk.users import Histories, make_users


@dataclass
class Case:
    """Objective, parameters and batch of one example; `loss()` is the total at the current parameters."""

    params: Any
    objective: Any
    weights: Any
    users: Any
    items: Any
    theta: Any
    tables: Any
    owned: Any
    record: Any = field(init=False)

    def __post_init__(self):
        self.record = np.zeros((1, len(self.theta) + 2))

    def gradients(self):
        return self.objective(self.params, self.users, self.items, self.theta, self.record[0])

    def loss(self):
        self.gradients()
        return parts(self.record, self.weights)["total"]

    def variables(self):
        return [x for _, x in self.params.arrays()]

    def dense_gradients(self):
        """Copies of the gradients, in the order of `variables`, that of P with all its rows."""
        g = self.gradients()
        dP = np.zeros_like(self.params.P)
        if g.users is None:
            dP[...] = g.P
        else:
            dP[g.users] = g.P
        pairs = [x.copy() for pair in zip(g.W, g.b, strict=True) for x in pair]
        return [dP, *pairs, *([] if g.scale is None else [g.scale.copy()])]


WHOLE = Weights(3.0, 0.7, 0.4)


def make_case(
    seed=0, B=12, M=2, K=4, U=6, n_items=9, alpha=0.1, strategy="cyclic", draws=1, kernels="reference",
    weights=WHOLE, missing=0.4, dtype=np.float64, scale=1.0, kind="free",
):  # fmt: skip
    rng = np.random.default_rng(seed)
    backend = NumpyBackend(kernels)
    widths = [int(w) for w in rng.integers(1, 9, M)]
    tables = []
    owned = rng.random((n_items, M)) >= missing
    owned[np.arange(n_items), rng.integers(0, M, n_items)] = True
    for m, width in enumerate(widths):
        source = np.where(owned[:, m], np.arange(n_items), ~(np.arange(n_items) % 2)).astype(np.int32)
        row_scale = rng.random(n_items).astype(np.float32) * (rng.random(n_items) > 0.1)  # some rows are all zero
        raw, fill = (rng.standard_normal((n, width)).astype(np.float32) for n in (n_items, 2))
        tables.append(BackendTable(raw, fill, source, row_scale.astype(np.float32)))
    rows_of_P, profiled = 0 if kind == "profile" else U, kind != "free"
    params = initial_parameters(backend, rows_of_P, widths, K, seed, dtype, scaled=profiled)
    for name, x in params.arrays():
        x *= 0.5 if name == "scale" else scale * 5
    users = rng.integers(0, U, B).astype(np.int32)
    items = rng.integers(0, n_items, 2 * B).astype(np.int32)
    theta = mixing_weights(seed, 1, 1, M, alpha, strategy, draws)[0].astype(dtype)
    who = make_users(kind, backend, U, owned, histories_of(rng, users, items[:B], U, n_items) if profiled else None)
    objective = Objective(backend, tables, owned, U, weights, who)
    return Case(params, objective, weights, users, items, theta, tables, owned)


def histories_of(rng, users, items, U, n_items):
    """Every user's own positives, and for half of the users some other items."""
    others = rng.integers(0, U, 2 * U), rng.integers(0, n_items, 2 * U)
    kept = others[0] % 2 == 0
    pairs = np.stack([np.append(users, others[0][kept]), np.append(items, others[1][kept])])
    user, item = np.unique(pairs, axis=1)
    return Histories(np.concatenate([[0], np.cumsum(np.bincount(user, minlength=U))]), item.astype(np.int32))


weight_choices = st.builds(
    Weights,
    invariance=st.sampled_from([0.0, 1.0, 50.0]),
    alignment=st.sampled_from([0.0, 0.05, 2.0]),
    regulariser=st.sampled_from([0.0, 1e-4, 0.5]),
    mean=st.booleans(),
    all_parameters=st.booleans(),
)

cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([1, 2, 5, 17]),
    M=st.integers(1, 5),
    K=st.sampled_from([1, 3, 8]),
    U=st.sampled_from([1, 3, 20]),
    n_items=st.sampled_from([1, 4, 25]),
    alpha=st.sampled_from([0.01, 0.1, 1.0, 100.0]),
    strategy=st.sampled_from(STRATEGIES),
    draws=st.sampled_from([1, 3]),
    weights=weight_choices,
    missing=st.sampled_from([0.0, 0.4, 1.0]),
)
