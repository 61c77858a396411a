"""MTPR for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from cases import Case, Problem, Sizes, Tables

from milk_np.models.mtpr.model import make_optimisers
from milk_np.nn.embedding import RowGradient

REG, VECTOR_REG, LR = 0.03, 0.02, 0.01


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    K, D, B, n = s.K, s.width, s.B, s.n
    shapes = {"W": (D, K), "W_u": (2 * K, K), "W_q": (K, K), "W_x": (K, K), "P": (B, 2 * K), "q": (n, K)}
    tables = {name: s.normal(*shape, scale=0.6) for name, shape in shapes.items()}
    x, slot = s.normal(n, D), s.ids(2 * B, n)

    def ours(t: Mapping[str, Any]) -> Any:
        return module.objective(t, module.Batch(x, t["q"], t["P"], slot), REG, VECTOR_REG)

    def theirs(t: Mapping[str, Any]) -> Any:
        import torch

        p, content = t["P"] @ t["W_u"], torch.from_numpy(x) @ t["W"]
        W_i = torch.cat([t["W_q"], t["W_x"]])
        both = torch.from_numpy(slot)
        items = torch.cat([t["q"], content], 1)[both] @ W_i
        without = torch.cat([torch.zeros_like(t["q"]), content], 1)[both] @ W_i
        (ni, nj), (ci, cj) = ((rows.view(2, B, K) * p).sum(2) for rows in (items, without))
        margins = torch.stack([ni - nj, ci - cj, ni - cj, ci - nj])
        vectors = t["P"].pow(2).sum() + t["q"][both].pow(2).sum()
        weights = sum(t[name].pow(2).sum() for name in ("W", "W_u", "W_q", "W_x"))
        return torch.nn.functional.softplus(-margins).sum() + VECTOR_REG * vectors + REG * weights

    return [Problem(tables, ours, theirs)]


class Rows:
    """The system's optimisers over a batch's own vectors."""

    def __init__(self, tables: Tables) -> None:
        self.each = make_optimisers({**tables, "Q": tables["q"]}, LR)

    def step(self, gradients: dict[str, Any]) -> None:
        rows = {name: RowGradient(np.arange(len(g), dtype=np.int32), g)
                for name, g in (("P", gradients.pop("P")), ("Q", gradients.pop("q")))}  # fmt: skip
        self.each["vectors"].step(rows)
        self.each["weights"].step(gradients)


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    vectors = torch.optim.Adagrad([tensors["P"], tensors["q"]], lr=LR)
    weights = torch.optim.Adam([tensors[name] for name in ("W", "W_u", "W_q", "W_x")], lr=LR)

    class Both:
        def zero_grad(self) -> None:
            vectors.zero_grad()
            weights.zero_grad()

        def step(self) -> None:
            vectors.step()
            weights.step()

    return [Both()]


CASE = Case(
    name="mtpr",
    options={"dim": 8, "max_epochs": 4, "batch_size": 256},
    objective="milk_np.models.mtpr.objective",
    problems=problems,
    planted=[
        ("nn + nc, -(nn + cn), cc + cn, -(cc + nc)", "nn + cn, -(nn + cn), cc + cn, -(cc + nc)"),
        ("nn + nc, -(nn + cn), cc + cn, -(cc + nc)", "nn + nc, nn + cn, cc + cn, -(cc + nc)"),
        ("nn + nc, -(nn + cn), cc + cn, -(cc + nc)", "nn + nc, -(nn + cn), cc, -(cc + nc)"),
        ("nn + nc, -(nn + cn), cc + cn, -(cc + nc)", "nn + nc, -(nn + cn), cc + cn, -cc"),
        ("xp.concatenate([dn_i + dc_i, dn_j + dc_j])", "xp.concatenate([dc_i, dc_j])"),
        ("xp.concatenate([dn_i, dn_j])", "xp.concatenate([dn_j, dn_i])"),
        ("dboth = dp_c + dp_o", "dboth = dp_c"),
        ("dboth[:B] + dboth[B:], of_user", "dboth[:B], of_user"),
        ("embedding_backward(dc, of_c), of_content", "embedding_backward(do, of_c), of_content"),
        ("embedding_backward(do, of_o), of_own", "embedding_backward(dc, of_o), of_own"),
        ("penalise(tables, gradients, WEIGHTS, reg)", "2 * penalise(tables, gradients, WEIGHTS, reg)"),
        ('"P": dP + of_P', '"P": dP'),
        ('"q": dq + of_q', '"q": dq'),
        ("squared_norm_backward(weight, of_items), of_rows", "squared_norm_backward(2 * weight, of_items), of_rows"),
    ],
    accurate={"content": "standard", "max_epochs": 25, "patience": 8, "dim": 16},
    optimisers=lambda tables: [Rows(tables)],
    their_optimisers=their_optimisers,
)
