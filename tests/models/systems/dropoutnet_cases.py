"""DropoutNet for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from cases import Case, Problem, Sizes, Tables, torch_tower, tower_tables

from milk_np.models.dropoutnet.model import make_optimiser

LR = 0.01


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    K, H, D, B = s.K, s.K + 2, s.width, s.B
    tables = {**tower_tables(s, "user", K, H, K), **tower_tables(s, "item", K + D, H, K)}
    u, v, x, y, keep_u, keep_v = s.normal(B, K), s.normal(B, K), s.normal(B, D), s.normal(B), s.mask(B), s.mask(B)
    batch = module.Batch(u, v, x, y, keep_u, keep_v)

    def theirs(t: Mapping[str, Any]) -> Any:
        import torch

        U, V, X, Y, du, dv = (torch.from_numpy(array) for array in (u, v, x, y, keep_u, keep_v))
        p = torch_tower(t, "user", U * du[:, None], train=True, momentum=0.1)
        z = torch_tower(t, "item", torch.cat([V * dv[:, None], X], 1), train=True, momentum=0.1)
        return ((p * z).sum(1) - Y).pow(2).mean()

    return [Problem(tables, lambda t: module.objective(t, batch), theirs)]


def optimisers(tables: Tables) -> list[Any]:
    return [make_optimiser(tables, SimpleNamespace(lr=LR, lr_decay=0.1, momentum=0.9), 100)]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    learned = [x for name, x in tensors.items() if not name.endswith(("_mean", "_var"))]
    return [torch.optim.SGD(learned, lr=LR, momentum=0.9)]


CASE = Case(
    name="dropoutnet",
    options={
        "dim": 8, "hidden": 12, "max_epochs": 40, "batch_size": 128, "backbone_epochs": 3, "lr": 0.05, "top_items": 5,
        "user_dropout": 0.2,
    },
    objective="milk_np.models.dropoutnet.objective",
    problems=problems,
    planted=[
        ("squared_error_backward(1.0, of_error)[0]", "squared_error_backward(1.0, of_error)[1]"),
        ("squared_error_backward(1.0, of_error)[0]", "squared_error_backward(0.5, of_error)[0]"),
        ("dp, dz = row_dot_backward", "dz, dp = row_dot_backward"),
        ("tower_backward(dp, of_user, need_dx=False)", "tower_backward(dz, of_user, need_dx=False)"),
        ("tower_backward(dz, of_item, need_dx=False)", "tower_backward(dz[::-1], of_item, need_dx=False)"),
    ],
    optimisers=optimisers,
    their_optimisers=their_optimisers,
    accurate={"max_epochs": 10, "top_items": 30, "dim": 16, "backbone_epochs": 40, "backbone_lr": 0.02},
)  # fmt: skip
