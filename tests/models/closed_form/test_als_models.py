"""Alternating least squares: every sweep lowers the objective, and at its end the gradient is zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closed_form_cases import copies, dense, small

from milk_np.models.closed_form.feature_ials import FeatureIals
from milk_np.models.closed_form.ials_ridge import IalsRidge
from milk_np.models.closed_form.ridge_direct import RidgeDirect

ALPHA, RIDGE = 4.0, 0.6
REG = 0.8
OPTIONS = {"dim": 4, "als_confidence": ALPHA, "content_ridge": RIDGE, "drop_weight": 0.5}


def penalties(R: Any, power: float) -> tuple[Any, Any]:
    """Of users and items: the weight of a row over the mean weight, to the power."""
    U, n = R.shape
    weights = n + ALPHA * R.sum(axis=1), U + ALPHA * R.sum(axis=0)
    return tuple(REG * (each / each.mean()) ** power for each in weights)  # type: ignore[return-value]


def objective(R: Any, power: float, P: Any, Q: Any, rows: Any = None, each: Any = None, W: Any = None) -> float:
    """L; with content (written-out copies and their weights), the feature-aware one."""
    a, b = penalties(R, power)
    total = ((1 + ALPHA * R) * (R - P @ Q.T) ** 2).sum() + (a[:, None] * P**2).sum()
    if W is None:
        return float(total + (b[:, None] * Q**2).sum())
    again = len(rows) // len(Q)
    far = (each * np.tile(b, again))[:, None] * (np.tile(Q, (again, 1)) - rows @ W) ** 2
    return float(total + far.sum() + RIDGE * (W**2).sum())


def slopes(value: Any, arrays: list[Any], eps: float = 1e-4) -> list[float]:
    """Central differences along random directions, relative to the objective, one array at a time."""
    rng, found = np.random.default_rng(1), []
    for place, array in enumerate(arrays):
        step = rng.standard_normal(array.shape)
        ends = [value(*(x + sign * eps * step if k == place else x for k, x in enumerate(arrays))) for sign in (1, -1)]
        found.append(abs(ends[0] - ends[1]) / (2 * eps) / value(*arrays))
    return found


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_sweeps_go_down_to_where_the_gradient_is_zero(power: float) -> None:
    ds = small()
    R, values = dense(ds), []
    for sweeps in (1, 3, 10, 600):
        model = IalsRidge(**OPTIONS, als_power=power, als_penalty=REG, als_sweeps=sweeps).fit(ds)
        Q = model.arrays()["items_learned"]
        P = model.user_factors().astype(np.float64)
        P[~R.any(axis=1)] = 0  # the solution for who chose nothing; the model gives the mean user
        values.append(objective(R, power, P, Q))
    assert values == sorted(values, reverse=True)
    assert np.linalg.norm(P) > 0.1  # not the solution at zero
    assert max(slopes(lambda P, Q: objective(R, power, P, Q), [P, Q])) < 1e-6


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("protocol", ["FTMT", "MTMT"])
def test_the_feature_aware_objective_is_at_a_minimum(power: float, protocol: str) -> None:
    ds = small(protocol)
    R = dense(ds)
    model = FeatureIals(**OPTIONS, als_power=power, als_penalty=REG, als_sweeps=600).fit(ds)
    X = RidgeDirect().fit(ds).item_factors()[ds.train_items].astype(np.float64)
    rows, each = copies(X, (6, 4), OPTIONS["drop_weight"])
    Q, W = (model.arrays()[name].astype(np.float64) for name in ("items_learned", "weights"))
    P = model.user_factors().astype(np.float64)
    P[~R.any(axis=1)] = 0
    assert np.linalg.norm(W) > 0.01
    assert max(slopes(lambda P, Q, W: objective(R, power, P, Q, rows, each, W), [P, Q, W])) < 1e-6


def test_a_cold_item_may_be_solved_as_one_without_users() -> None:
    ds, power = small(), 1.0
    R = dense(ds)
    by_map, solved = (
        FeatureIals(**OPTIONS, als_power=power, als_penalty=REG, als_sweeps=3, cold_vectors=cold).fit(ds)
        for cold in ("map", "solved")
    )
    P, b = _users_before_the_last_items(by_map, ds, power), REG * (60 / (60 + ALPHA * R.sum() / R.shape[1])) ** power
    near = by_map.item_factors().astype(np.float64)
    expected = np.linalg.solve(P.T @ P + b * np.eye(4), b * near.T).T
    np.testing.assert_allclose(solved.item_factors(), expected, atol=1e-4)


def _users_before_the_last_items(model: FeatureIals, ds: Any, power: float) -> Any:
    """P of the last sweep: what the items of the sweep before say."""
    before = FeatureIals(model.settings, als_sweeps=2).fit(ds)
    P = before.user_factors().astype(np.float64)
    P[~dense(ds).any(axis=1)] = 0
    return P


def test_a_strong_prior_makes_items_their_contents_map() -> None:
    ds = small()
    model = FeatureIals(
        **{**OPTIONS, "als_penalty": 1e6, "drop_weight": 0.0, "content_ridge": 1e-3}, als_sweeps=50
    ).fit(ds)
    Q, near = model.arrays()["items_learned"], model.item_factors()[ds.train_items]
    np.testing.assert_allclose(Q, near, atol=1e-2 * np.abs(Q).max())
