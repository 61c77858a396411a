"""MICRO for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from cases import Case, Problem, Sizes, Tables

from milk_np.kernels import cpu
from milk_np.models.micro.objective import LEARNED, Weights
from milk_np.nn.adam import Adam
from milk_np.nn.graph import make_graph

WEIGHTS = Weights(contrast=0.6, temperature=0.5, reg=0.05, layers=2)
USERS, LR = 5, 0.01


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    """Graphs that are not symmetric, items without a modality, items that the batch leaves out."""
    L, n = s.n + 1, s.n
    pairs = some(s, USERS + L, USERS + L)
    owned = s.rng.random((L, s.M)) < 0.7
    owned[np.arange(L), s.rng.integers(0, s.M, L)] = True
    items = [some(s, L, L) * own[:, None] for own in owned.T]
    ids = np.sort(s.rng.permutation(L)[:n]).astype(np.int32)
    anchors = tuple(np.flatnonzero(own).astype(np.int32) for own in owned[ids].T)
    users, better, worse = (s.ids(s.B, k).astype(np.int32) for k in (USERS, n, n))
    shapes = {"P": (USERS, s.K), "Q": (L, s.K), "Wq": (s.K, s.K), "bq": (s.K,), "query": (s.K,)}
    tables = {name: s.normal(*shape) for name, shape in shapes.items()}
    graphs = module.Graphs(
        make_graph(sparse(pairs), s.dtype), tuple(make_graph(sparse(x), s.dtype) for x in items), owned
    )
    batch = module.Batch(users, ids, better, worse, anchors)

    def theirs(t: Mapping[str, Any]) -> Any:
        import torch
        from torch.nn import functional

        both = torch.cat([t["P"], t["Q"]])
        A = torch.tensor(pairs)
        both = (both + A @ both + A @ (A @ both)) / 3
        a = torch.stack([torch.tensor(x) @ t["Q"] for x in items])[:, torch.tensor(ids).long()]
        mine = torch.tensor(owned[ids]).T
        scores = (torch.tanh(a @ t["Wq"] + t["bq"]) @ t["query"]).masked_fill(~mine, -1e9)
        h = (torch.softmax(scores, 0)[..., None] * a).sum(0)
        z = both[torch.tensor(ids).long() + USERS] + functional.normalize(h)
        rows = both[torch.tensor(users).long()], *(z[torch.tensor(each).long()] for each in (better, worse))
        ranking = functional.softplus(-(rows[0] * (rows[1] - rows[2])).sum(1)).mean()
        short = WEIGHTS.reg / 2 * sum(x.pow(2).sum(1).mean() for x in rows)
        contrast = sum(their_contrast(a[m][mine[m]], h[mine[m]]) for m in range(len(a)))
        return ranking + short + WEIGHTS.contrast * contrast

    return [Problem(tables, lambda t: module.objective(t, graphs, batch, WEIGHTS), theirs)]


def their_contrast(a: Any, h: Any) -> Any:
    """As the authors' program writes it."""
    import torch
    from torch.nn import functional

    if not len(a):
        return 0.0
    a, h = functional.normalize(a), functional.normalize(h)
    within, across = (torch.exp(a @ x.T / WEIGHTS.temperature) for x in (a, h))
    return -torch.log(across.diag() / (within.sum(1) + across.sum(1) - within.diag())).mean()


def some(s: Sizes, rows: int, columns: int) -> Any:
    """A matrix with about half of its places filled, and its diagonal."""
    filled = (s.rng.random((rows, columns)) < 0.5) | np.eye(rows, columns, dtype=bool)
    return np.where(filled, s.rng.random((rows, columns)) / columns, 0).astype(s.dtype)


def sparse(matrix: Any) -> Any:
    from scipy.sparse import csr_array

    return csr_array(matrix)


def optimisers(tables: Tables) -> list[Any]:
    return [Adam({name: tables[name] for name in LEARNED}, LR, kernels=cpu)]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    return [torch.optim.Adam(tensors.values(), LR)]


PLANTED = [
    ("dz + dh, of_unit", "dz, of_unit"),
    ("dz + dh, of_unit", "dh, of_unit"),
    ("row_norm_backward(dz + dh, of_unit)", "dz + dh"),
    ("xp.concatenate([du, dz])", "xp.concatenate([0 * du, dz])"),
    ("xp.concatenate([du, dz])", "xp.concatenate([du, 0 * dz])"),
    ("light_gcn_backward(", "(lambda dout, cache: light_gcn_backward(dout, (cache[0], cache[1], cache[2][::-1])))("),
    ("dQ = dboth[U:] + ", "dQ = "),
    ("dboth[U:] + _neighbours_backward(dparts + more, caches)", "dboth[U:]"),
    ("_neighbours_backward(dparts + more, caches)", "_neighbours_backward(dparts, caches)"),
    ("_neighbours_backward(dparts + more, caches)", "_neighbours_backward(more, caches)"),
    ('"P": dboth[:U]', '"P": 2 * dboth[:U]'),
    ("zip(ATTENTION, attention, strict=True)", "zip(ATTENTION, (-x for x in attention), strict=True)"),
    ("graph_backward(dpart, of_graph)", "graph_backward(dpart, (type(of_graph[0])(*of_graph[0][::-1]), of_graph[1]))"),
    ("graph_backward(dpart, of_graph)", "graph_backward(dpart, (of_graph[0], of_graph[1][::-1]))"),
    ("squared_norm_backward(reg / 2, of)", "squared_norm_backward(reg, of)"),
    ("bpr_backward(1.0, of_ranking)", "bpr_backward(2.0, of_ranking)"),
    ("+ embedding_backward(dworse, of_worse)", "- embedding_backward(dworse, of_worse)"),
    ("embedding_backward(dbetter, of_better) +", "-embedding_backward(dbetter, of_better) +"),
    ("info_nce_backward(weights.contrast, of_value)", "info_nce_backward(1.0, of_value)"),
    ("row_norm_backward(dunit, of_unit), of_mine", "dunit, of_mine"),
    ("dh += embedding_backward(dtheirs, of_theirs)", "dh = embedding_backward(dtheirs, of_theirs)"),
    ("dh += embedding_backward(dtheirs, of_theirs)", "dh -= embedding_backward(dtheirs, of_theirs)"),
]  # fmt: skip

CASE = Case(
    name="micro",
    options={"dim": 8, "max_epochs": 4, "batch_size": 64, "neighbours": 4, "lr": 0.01},
    objective="milk_np.models.micro.objective",
    problems=problems,
    planted=PLANTED,
    optimisers=optimisers,
    their_optimisers=their_optimisers,
    accurate={
        "max_epochs": 15,
        "eval_every": 5,
        "dim": 16,
        "neighbours": 10,
        "lr": 0.03,
        "batch_size": 256,
        "content": "centred",
    },
)
