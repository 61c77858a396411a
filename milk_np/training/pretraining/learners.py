"""Tables P (U, K) and Q (I, K) by steps: BPR matrix factorisation, and LightGCN (He et al. 2020).

Both take every training pair once an epoch, with one uniform negative among the training items, and Adam. The result
doesn't depend on the number of threads: no product of them is BLAS's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.arrays import array_module
from milk_np.nn.embedding import (
    distinct,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    scatter_add,
)
from milk_np.nn.graph import bipartite, light_gcn_backward, light_gcn_forward, make_graph, symmetric_normalised
from milk_np.nn.keyed import normals
from milk_np.settings.pretrained import PretrainedSettings
from milk_np.training.pretraining.factors import svd
from milk_np.training.pretraining.objective import (
    penalty_backward,
    penalty_forward,
    ranking_backward,
    ranking_forward,
)
from milk_np.training.sampler import TripletSampler

DEVIATION = 0.01
"""Standard deviation of the numbers that the tables start from."""

Tables = dict[str, Array]
Learn = Callable[[Backend, Dataset, PretrainedSettings], tuple[Array, Array]]


def bpr_mf(backend: Backend, ds: Dataset, how: PretrainedSettings) -> tuple[Array, Array]:
    """P and Q by Adam on the rows of each batch, which equals dense Adam to rounding."""
    tables = _start(backend, how, P=ds.n_users, Q=ds.n_items)
    optimiser = AdamRows(tables, how.backbone_lr, backend.kernels)
    sampler = _sampler(backend, ds, how)
    for epoch, step in _steps(sampler, how):
        users, items = sampler.batch(epoch, step)
        xp = array_module(users)
        for name, ids in (("P", users), ("Q", items)):
            optimiser.catch_up(name, xp.unique(ids))
        optimiser.step(_bpr_gradients(tables, users, items, how.backbone_reg))
    for name in tables:
        optimiser.catch_up(name)
    return tables["P"], tables["Q"]


def _bpr_gradients(tables: Tables, users: Array, items: Array, reg: float) -> dict[str, Any]:
    """Row gradients of P and Q for a batch of users (B) and items (2B: those chosen, then the others)."""
    p, of_p = embedding_forward(tables["P"], users)
    q, of_q = embedding_forward(tables["Q"], items)
    dp, dq = _batch_gradients(p, q, reg)
    return {"P": embedding_backward_rows(dp, of_p), "Q": embedding_backward_rows(dq, of_q)}


def _batch_gradients(p: Array, q: Array, reg: float) -> tuple[Array, Array]:
    """Gradients of the users' rows (B, K) and the items' (2B, K)."""
    rows = (p, q[: len(p)], q[len(p) :])
    ranked = ranking_backward(ranking_forward(rows)[1])
    short = penalty_backward(penalty_forward(rows, reg)[1])
    dp, better, worse = (a + b for a, b in zip(ranked, short, strict=True))
    return dp, array_module(p).concatenate([better, worse])


def light_gcn(backend: Backend, ds: Dataset, how: PretrainedSettings) -> tuple[Array, Array]:
    """P and Q: the mean of `backbone_layers` + 1 layers over the graph of users and training items.

    The penalty is on the free vectors, as in the authors' program.
    """
    U, layers = ds.n_users, how.backbone_layers
    tables = _start(backend, how, E=U + ds.n_items)
    E, xp = tables["E"], array_module(tables["E"])
    pairs = bipartite(*ds.interactions(Split.TRAIN), U, ds.n_items)
    graph = make_graph(symmetric_normalised(pairs), E.dtype, xp)
    optimiser = Adam(tables, how.backbone_lr, kernels=backend.kernels)
    sampler = _sampler(backend, ds, how)
    for epoch, step in _steps(sampler, how):
        users, items = sampler.batch(epoch, step)
        ids = xp.concatenate([users, items + np.int32(U)])
        optimiser.step({"E": light_gcn_gradient(graph, E, ids, layers, how.backbone_reg)})
    out, _ = light_gcn_forward(graph, E, layers)
    return out[:U], out[U:]


def light_gcn_gradient(graph: Any, E: Array, ids: Array, layers: int, reg: float) -> Array:
    """dE (U + I, K) for the nodes `ids` (3B) of a batch: users, items they chose, items they did not."""
    B, xp = len(ids) // 3, array_module(E)
    nodes, slot = distinct(ids)
    out, of_graph = light_gcn_forward(graph, E, layers, nodes)
    rows, of_rows = embedding_forward(out, slot)
    ranked = ranking_backward(ranking_forward((rows[:B], rows[B : 2 * B], rows[2 * B :]))[1])
    dE = light_gcn_backward(embedding_backward(xp.concatenate(ranked), of_rows), of_graph)
    free, _ = embedding_forward(E, ids)
    short = penalty_backward(penalty_forward((free[:B], free[B : 2 * B], free[2 * B :]), reg)[1])
    dE += scatter_add(ids, xp.concatenate(short), len(E))
    return dE


def _start(backend: Backend, how: PretrainedSettings, **rows: int) -> Tables:
    """Tables of normal numbers, drawn on the host: either device starts from the same bits."""
    return {
        name: backend.asarray(
            np.float32(DEVIATION) * normals(np, (n, how.dim), np.float32, how.seed, f"pretraining-{name}")
        )
        for name, n in rows.items()
    }


def _sampler(backend: Backend, ds: Dataset, how: PretrainedSettings) -> TripletSampler:
    size = how.backbone_batch_size
    return TripletSampler(backend, ds, negatives="train", batch_size=size, seed=how.seed)


def _steps(sampler: TripletSampler, how: PretrainedSettings) -> list[tuple[int, int]]:
    return [(epoch, step) for epoch in range(1, how.backbone_epochs + 1) for step in range(sampler.steps)]


LEARNERS: dict[str, Learn] = {"bpr-mf": bpr_mf, "light-gcn": light_gcn, "svd": svd}
"""What learns the tables, by the name of the setting."""
