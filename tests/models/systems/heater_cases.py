"""Heater for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from cases import Case, Problem, Sizes, Tables, torch_tower, tower_tables

from milk_np.models.heater.model import make_optimiser
from milk_np.models.heater.objective import PENALISED

ALPHA, REG, EXPERTS = 0.3, 0.02, 2


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    K, D = s.K, s.width
    tables = {
        "gate_W": s.normal(D, EXPERTS), "gate_b": s.normal(EXPERTS),
        "experts_W": s.normal(EXPERTS, D, K), "experts_b": s.normal(EXPERTS, K),
        **tower_tables(s, "user", K, K, K), **tower_tables(s, "item", K, K, K),
    }  # fmt: skip
    x, slot, u, v = s.normal(s.n, D), s.ids(s.B, s.n), s.normal(s.B, K), s.normal(s.B, K, scale=0.5)
    y, replaced = s.mask(s.B).astype(s.dtype), s.mask(s.B)
    batch = module.Batch(x, slot, u, v, y, replaced)

    def theirs(t: Mapping[str, Any]) -> Any:
        import torch

        X, U, V, Y = (torch.from_numpy(array) for array in (x, u, v, y))
        gates = torch.tanh(X @ t["gate_W"] + t["gate_b"])
        experts = torch.stack([torch.tanh(X @ W + b) for W, b in zip(t["experts_W"], t["experts_b"], strict=True)], 1)
        mine = torch.tanh((gates[:, :, None] * experts).sum(1))[torch.from_numpy(slot)]
        items = torch.where(torch.from_numpy(replaced)[:, None], mine, V)
        p = torch_tower(t, "user", U, train=True, momentum=0.1)
        z = torch_tower(t, "item", items, train=True, momentum=0.1)
        penalty = sum(t[name].pow(2).sum() for name in PENALISED)
        return ((p * z).sum(1) - Y).pow(2).mean() + ALPHA * (mine - V).pow(2).sum() + REG * penalty

    return [Problem(tables, lambda t: module.objective(t, batch, ALPHA, REG), theirs)]


def optimisers(tables: Tables) -> list[Any]:
    return [make_optimiser(tables, SimpleNamespace(lr=0.005, lr_decay=0.8, momentum=0.9), 1)]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    class Falling(torch.optim.SGD):
        """The rate falls every tenth step, as the schedule does where an epoch is one step."""

        taken = 0

        def step(self) -> None:  # type: ignore[override]
            for group in self.param_groups:
                group["lr"] = 0.005 * 0.8 ** (self.taken // 10)
            super().step()
            self.taken += 1

    learned = [x for name, x in tensors.items() if not name.endswith(("_mean", "_var"))]
    return [Falling(learned, lr=0.005, momentum=0.9)]


PLANTED = [
    ("experts_backward(tanh_backward(dout, of_tanh), of_mix", "experts_backward(dout, of_mix"),
    ("dmine + squared_error_backward(alpha, of_distance)[0]", "dmine + squared_error_backward(alpha, of_distance)[1]"),
    ("dmine + squared_error_backward(alpha, of_distance)[0]", "dmine"),
    ("squared_error_backward(alpha, of_distance)", "squared_error_backward(alpha / len(mine), of_distance)"),
    ("embedding_backward(dmine, of_rows)", "embedding_backward(dmine[::-1], of_rows)"),
    ("squared_error_backward(1.0, of_error)[0]", "squared_error_backward(1.0, of_error)[1]"),
    ("dp, dz = row_dot_backward", "dz, dp = row_dot_backward"),
    ("tower_backward(dz, of_item)", "tower_backward(dp, of_item)"),
    ("switch_backward(dv, of_switch)[0]", "switch_backward(dv, of_switch)[1]"),
    ("switch_backward(dv, of_switch)[0]", "dv"),
    ("penalise(tables, gradients, PENALISED, reg)", "penalise(tables, dict(gradients), PENALISED, reg)"),
    ("penalise(tables, gradients, PENALISED, reg)", "2 * penalise(tables, gradients, PENALISED, reg)"),
    (
        "penalise(tables, gradients, PENALISED, reg)",
        "penalise(tables, gradients, PENALISED[1:], reg) + reg * (tables[PENALISED[0]] ** 2).sum()",
    ),
]

CASE = Case(
    name="heater",
    options={"dim": 8, "max_epochs": 4, "batch_size": 256, "backbone_epochs": 3, "lr": 0.05, "experts": 2},
    objective="milk_np.models.heater.objective",
    problems=problems,
    planted=PLANTED,
    optimisers=optimisers,
    their_optimisers=their_optimisers,
    accurate={"batch_size": 1024, "max_epochs": 6, "lr": 0.02, "content": "standard", "dim": 16, "backbone_epochs": 40},
)
