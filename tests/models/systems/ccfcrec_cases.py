"""CCFCRec for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from cases import Case, Problem, RowOptimisers, Sizes, content, dense, modality_widths

from milk_np.kernels import cpu, reference
from milk_np.models.ccfcrec.objective import GENERATOR, Weights

WEIGHTS = Weights(contrast=0.4, temperature=0.3, reg=0.02)
GROUPS, CANDIDATES, HIDDEN, LR = 2, 3, 4, 0.01


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    """Candidates repeat, some are missing, one pair has no other user; tables have rows that the batch leaves out."""
    items, M, shape = s.n + 1, s.M, (s.B, GROUPS + 1, CANDIDATES + 1)
    slots = np.where(s.rng.random(shape) < 0.8, s.rng.integers(0, s.n, shape), -1).astype(np.int32)
    slots[:, :, 0] = s.rng.integers(0, s.n, shape[:2])
    people, ids = np.array([0, 1, 3, 4], np.int32), np.sort(s.rng.permutation(items)[: s.n]).astype(np.int32)
    user, other, own = (s.ids(s.B, k).astype(np.int32) for k in (4, 4, 2))
    other[0] = -1
    shapes = {"Wp": (s.width, s.K), "Wa": (M * s.K, HIDDEN), "ba": (HIDDEN,), "Wb": (HIDDEN, s.K), "bb": (s.K,)}
    tables = {"P": s.normal(5, s.K), "Q": s.normal(items, s.K)}
    tables |= {name: s.normal(*shape) for name, shape in shapes.items()}
    x, widths = content(s, 2), modality_widths(s)
    kernels = reference if s.dtype is np.float64 else cpu
    batch = module.Batch(kernels, x, own, ids, people, slots, user, other)

    def ours(t: Mapping[str, Any]) -> Any:
        parts, gradients = module.objective(t, batch, widths, WEIGHTS)
        return parts, {name: dense(gradient, t[name]) for name, gradient in gradients.items()}

    def theirs(t: Mapping[str, Any]) -> Any:
        """Cosines of every pair with all items, then gathered."""
        import torch
        from torch.nn import functional

        parts = torch.tensor(x).split(widths, 1)
        joined = torch.cat([part @ W for part, W in zip(parts, t["Wp"].split(widths), strict=True)], 1)
        q = (functional.leaky_relu(joined @ t["Wa"] + t["ba"]) @ t["Wb"] + t["bb"])[torch.tensor(own).long()]
        p, v = t["P"][torch.tensor(people).long()], t["Q"][torch.tensor(ids).long()]
        places = torch.tensor(slots).long()
        cosines = (functional.normalize(q) @ functional.normalize(v).T)[:, None].expand(-1, shape[1], -1)
        cosines = cosines.gather(2, places.clamp(min=0)).masked_fill(places < 0, -1e9) / WEIGHTS.temperature
        nce = -functional.log_softmax(cosines, 2)[:, :, 0]
        contrast = (nce[:, :-1].mean(1) + nce[:, -1]).mean()
        there = torch.tensor(other) >= 0
        apart = p[torch.tensor(user).long()] - p[torch.tensor(other).long().clamp(min=0)]
        ranking = sum(functional.softplus(-(z * apart).sum(1))[there].sum() for z in (v[places[:, -1, 0]], q)) / s.B
        size = sum(z.pow(2).sum() for z in (p, v, *(t[name] for name in GENERATOR)))
        return WEIGHTS.contrast * contrast + (1 - WEIGHTS.contrast) * ranking + WEIGHTS.reg / 2 * size

    return [Problem(tables, ours, theirs)]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    return [torch.optim.Adam(tensors.values(), LR)]


PLANTED = [
    ("(dWp, dWa, dba, dWb, dbb)", "(-dWp, dWa, dba, dWb, dbb)"),
    ("(dWp, dWa, dba, dWb, dbb)", "(dWp, 2 * dWa, dba, dWb, dbb)"),
    ("(dWp, dWa, dba, dWb, dbb)", "(dWp, dWa, 0 * dba, dWb, dbb)"),
    ("(dWp, dWa, dba, dWb, dbb)", "(dWp, dWa, dba, -dWb, dbb)"),
    ("(dWp, dWa, dba, dWb, dbb)", "(dWp, dWa, dba, dWb, 2 * dbb)"),
    ("leaky_relu_backward(dhidden, leaky), first", "dhidden, first"),
    ("concat_backward(djoined, of_joined), of_parts", "concat_backward(-djoined, of_joined), of_parts"),
    ("generate_backward(dq + more_q, of_q)", "generate_backward(dq, of_q)"),
    ("generate_backward(dq + more_q, of_q)", "generate_backward(more_q, of_q)"),
    (
        "penalise(tables, gradients, GENERATOR, weights.reg / 2)",
        "penalise(tables, dict(gradients), GENERATOR, weights.reg / 2)",
    ),
    (
        "penalise(tables, gradients, GENERATOR, weights.reg / 2)",
        "2 * penalise(tables, gradients, GENERATOR, weights.reg / 2)",
    ),
    ("dp + weights.reg * p", "dp"),
    ("dp + weights.reg * p", "weights.reg * p"),
    ("dv + more_v + weights.reg * v", "dv + more_v"),
    ("dv + more_v + weights.reg * v", "dv + weights.reg * v"),
    ("dv + more_v + weights.reg * v", "more_v + weights.reg * v"),
    ("RowGradient(batch.people,", "RowGradient(batch.people[::-1].copy(),"),
    ("RowGradient(batch.ids,", "RowGradient(batch.ids[::-1].copy(),"),
    ("array_module(q).tile(share, B)", "array_module(q).repeat(share, B)"),
    ("row_norm_backward(embedding_backward(dquery, of_rows), of_unit)", "embedding_backward(dquery, of_rows)"),
    ("row_norm_backward(dtable, of_table)", "dtable"),
    ("bpr_backward(share, of_values)", "bpr_backward(weight / len(share), of_values)"),
    ("+ embedding_backward(dworse, of_worse)", "- embedding_backward(dworse, of_worse)"),
    ("+ embedding_backward(dbetter, of_better)", "- embedding_backward(dbetter, of_better)"),
    ("return total, dp, gradients[1], gradients[0]", "return total, dp, gradients[1], -gradients[0]"),
    ("return total, dp, gradients[1], gradients[0]", "return total, dp, -gradients[1], gradients[0]"),
]

CASE = Case(
    name="ccfcrec",
    options={"dim": 8, "hidden": 12, "max_epochs": 4, "batch_size": 256, "drawn": 8, "positives": 2, "lr": 0.01},
    objective="milk_np.models.ccfcrec.objective",
    problems=problems,
    planted=PLANTED,
    optimisers=lambda tables: [RowOptimisers(tables, GENERATOR, LR)],
    their_optimisers=their_optimisers,
    accurate={"max_epochs": 10, "dim": 16, "drawn": 10, "content": "centred", "contrast": 0.2},
)
