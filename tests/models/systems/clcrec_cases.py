"""CLCRec for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from cases import Case, Problem, RowOptimisers, Sizes, content, dense

from milk_np.kernels import cpu, reference
from milk_np.models.clcrec.objective import ENCODER, Weights
from milk_np.nn.linear import whole

WEIGHTS = Weights(mutual=0.4, temperature=0.7, reg=0.3)
CANDIDATES, USERS, HIDDEN, LR = 3, 5, 4, 0.01


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    """Candidates repeat, some are missing; the batch leaves out an item and a user of the tables."""
    items, rows = s.n + 1, CANDIDATES + 1
    slots = np.where(s.rng.random((s.B, rows)) < 0.8, s.rng.integers(0, s.n, (s.B, rows)), -1).astype(np.int32)
    slots[:, 0] = s.ids(s.B, s.n)
    people = np.array([0, 1, 3, 4], np.int32)
    shapes = {"W1": (s.width, HIDDEN), "b1": (HIDDEN,), "W2": (HIDDEN, s.K), "b2": (s.K,)}
    tables = {"P": s.normal(USERS, s.K), "Q": s.normal(items, s.K)}
    tables |= {name: s.normal(*shape) for name, shape in shapes.items()}
    ids = np.sort(s.rng.permutation(items)[: s.n]).astype(np.int32)
    x, user, replaced = content(s, items), s.ids(s.B, 4).astype(np.int32), s.mask(s.B * rows).reshape(s.B, rows)
    kernels = reference if s.dtype is np.float64 else cpu
    batch = module.Batch(kernels, whole(x), ids, people, user, slots, replaced)

    def ours(t: Mapping[str, Any]) -> Any:
        parts, gradients = module.objective(t, batch, WEIGHTS)
        return parts, {name: dense(gradient, t[name]) for name, gradient in gradients.items()}

    def theirs(t: Mapping[str, Any]) -> Any:
        """All items encoded, all candidates gathered."""
        import torch
        from torch.nn import functional

        places = torch.tensor(slots).long()
        outside, chosen = places < 0, torch.tensor(ids).long()[places.clamp(min=0)]
        f = functional.leaky_relu(torch.tensor(x) @ t["W1"] + t["b1"]) @ t["W2"] + t["b2"]
        p, own, made = t["P"][torch.tensor(people[user]).long()], t["Q"][chosen], f[chosen]
        cosines = functional.cosine_similarity(own[:, :1], made, dim=2).masked_fill(outside, -1e9)
        mixed = torch.where(torch.tensor(replaced)[..., None], made, own)
        scores = (p[:, None] * mixed).sum(2).masked_fill(outside, -1e9)
        first = torch.zeros(len(slots)).long()
        mutual, seen = (functional.cross_entropy(x / WEIGHTS.temperature, first) for x in (cosines, scores))
        short = p.norm(dim=1).mean() + own.norm(dim=2)[~outside].mean()
        return WEIGHTS.mutual * mutual + (1 - WEIGHTS.mutual) * seen + WEIGHTS.reg / 2 * short

    return [Problem(tables, ours, theirs)]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    return [torch.optim.Adam(tensors.values(), LR)]


PLANTED = [
    ("dp + short_p", "dp"),
    ("dp + short_p", "short_p"),
    ("dq + more_q + short_q", "dq + more_q"),
    ("dq + more_q + short_q", "dq + short_q"),
    ("dq + more_q + short_q", "more_q + short_q"),
    ("df + more_f, of_f", "df, of_f"),
    ("df + more_f, of_f", "more_f, of_f"),
    ("RowGradient(batch.people,", "RowGradient(batch.people[::-1].copy(),"),
    ("RowGradient(batch.ids,", "RowGradient(batch.ids[::-1].copy(),"),
    ("leaky_relu_backward(dhidden, leaky), first", "dhidden, first"),
    ("(dW1, db1, dW2, db2)", "(-dW1, db1, dW2, db2)"),
    ("(dW1, db1, dW2, db2)", "(dW1, 0 * db1, dW2, db2)"),
    ("(dW1, db1, dW2, db2)", "(dW1, db1, 2 * dW2, db2)"),
    ("(dW1, db1, dW2, db2)", "(dW1, db1, dW2, -db2)"),
    ("nce_backward(weights.mutual, of_loss)", "nce_backward(1.0, of_loss)"),
    ("nce_backward(share, of_loss)", "nce_backward(1.0, of_loss)"),
    ("row_norm_backward(danchor, of_anchor)", "danchor"),
    ("row_norm_backward(dunit, of_unit)", "dunit"),
    ("dboth[:n], dboth[n:]", "dboth[n:], dboth[:n]"),
    ("norm_backward(half, users)", "norm_backward(reg, users)"),
    ("norm_backward(half * shares, items)", "norm_backward(half, items)"),
]

CASE = Case(
    name="clcrec",
    options={"dim": 8, "hidden": 12, "max_epochs": 4, "batch_size": 256, "drawn": 16, "lr": 0.01},
    objective="milk_np.models.clcrec.objective",
    problems=problems,
    planted=PLANTED,
    optimisers=lambda tables: [RowOptimisers(tables, ENCODER, LR)],
    their_optimisers=their_optimisers,
    accurate={
        "max_epochs": 6,
        "dim": 16,
        "hidden": 32,
        "drawn": 32,
        "lr": 0.003,
        "content": "centred",
        "mutual": 0.1,
        "temperature": 1.0,
    },
)
