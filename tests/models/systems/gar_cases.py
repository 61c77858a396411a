"""GAR for the contract tests: the recommender's objective, then the generator's."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from cases import Case, Problem, Sizes, Tables, torch_norm, torch_tower, tower_tables

from milk_np.models.gar.model import make_optimisers
from milk_np.models.gar.objective import GENERATOR, OF_GENERATOR, OF_RECOMMENDER, RECOMMENDER

ALPHA, BETA, REG, LR = 0.3, 0.2, 0.05, 1e-3
STILL = (0.0, 0, "gar")


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    K, H, D, B = s.K, s.K + 1, s.width, s.B
    tables = tower_tables(s, "make", D, H, K)
    for side in ("user", "item"):
        tables |= tower_tables(s, side, K, H, K)
        first = {"beta": s.normal(K), "mean": s.normal(K), "var": (1 + s.rng.random(K)).astype(s.dtype)}
        tables |= {f"{side}_first_{name}": x for name, x in first.items()}
    u, x, v, w = s.normal(B, K), s.normal(B, D), s.normal(B, K), s.normal(B, K)
    batch = module.Batch(u, x, v, w)

    def side_of(t: Mapping[str, Any], side: str, rows: Any, train: bool) -> Any:
        h = torch_norm(t, f"{side}_first", rows, train=train, momentum=0.01, eps=1e-3)
        return torch_tower(t, side, h, train=train, momentum=0.01)

    def told(t: Mapping[str, Any]) -> Any:
        import torch

        U, X, V, W = (torch.from_numpy(array) for array in (u, x, v, w))
        fake = torch_tower(t, "make", X, train=False, momentum=0.01).detach()
        scores = side_of(t, "user", U.repeat(3, 1), True) * side_of(t, "item", torch.cat([V, W, fake]), True)
        r, n, f = scores.sum(1).split(B)
        ranking = torch.nn.functional.softplus(-(r - (1 - BETA) * f - BETA * n)).mean()
        return ranking + REG / 2 * sum(t[name].pow(2).sum() for name in OF_RECOMMENDER)

    def made(t: Mapping[str, Any]) -> Any:
        import torch

        U, X, V = (torch.from_numpy(array) for array in (u, x, v))
        fake = torch_tower(t, "make", X, train=True, momentum=0.01)
        p = side_of(t, "user", U, False)
        gap = (p * (side_of(t, "item", fake, False) - side_of(t, "item", V, False))).sum(1)
        fooling = torch.nn.functional.softplus(-gap).mean()
        penalty = REG / 2 * sum(t[name].pow(2).sum() for name in OF_GENERATOR)
        return (1 - ALPHA) * fooling + ALPHA * (fake - V).abs().mean() + penalty

    return [
        Problem(tables, lambda t: module.recommender(t, batch, BETA, REG, STILL), told),
        Problem(tables, lambda t: module.generator(t, batch, ALPHA, REG, STILL), made),
    ]


def optimisers(tables: Tables) -> list[Any]:
    return list(make_optimisers(tables, LR).values())


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    return [torch.optim.Adam([tensors[name] for name in names], lr=LR) for names in (RECOMMENDER, GENERATOR)]


CASE = Case(
    name="gar",
    options={"dim": 8, "hidden": 12, "max_epochs": 4, "batch_size": 128, "backbone_epochs": 3, "lr": 0.01},
    objective="milk_np.models.gar.objective",
    problems=problems,
    planted=[
        ("slope, -beta * slope, (beta - 1) * slope", "slope, (beta - 1) * slope, -beta * slope"),
        ("slope, -beta * slope, (beta - 1) * slope", "slope, -beta * slope, -slope"),
        ("slope, -beta * slope, (beta - 1) * slope", "0 * slope, -beta * slope, (beta - 1) * slope"),
        ("side_backward(dp, of_user)[1] | side_backward(dz, of_item)[1]",
         "side_backward(dz, of_user)[1] | side_backward(dp, of_item)[1]"),
        ("dh, gradients = tower_backward(dout, of_tower)", "dh, gradients = tower_backward(-dout, of_tower)"),
        ("return dx, {**gradients", "return dh, {**gradients"),
        ("bpr_backward(1 - alpha, of_fooling)", "bpr_backward(1.0, of_fooling)"),
        ("absolute_error_backward(alpha, of_distance)[0]", "absolute_error_backward(alpha, of_distance)[1]"),
        ("absolute_error_backward(alpha, of_distance)[0]", "absolute_error_backward(1.0, of_distance)[0]"),
        ("dmade = side_backward(dz, of_item)[0] +", "dmade ="),
        ("_, dz = row_dot_backward", "dz, _ = row_dot_backward"),
        ("penalise(tables, gradients, OF_GENERATOR, reg / 2)",
         "2 * penalise(tables, gradients, OF_GENERATOR, reg / 2)"),
        ("penalise(tables, gradients, OF_RECOMMENDER, reg / 2)",
         "2 * penalise(tables, gradients, OF_RECOMMENDER, reg / 2)"),
    ],
    optimisers=optimisers,
    their_optimisers=their_optimisers,
    accurate={"max_epochs": 12, "batch_size": 512, "dim": 16, "backbone_epochs": 40},
    cancelling=("_b1", "_first_beta", "item_b2"),
)  # fmt: skip
