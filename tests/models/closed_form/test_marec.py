"""MARec against its objectives: the weights of the modalities and a new item's column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closed_form_cases import dense, small

from milk_np.models.closed_form.marec import UNSEEN, Marec
from milk_np.models.closed_form.ridge_direct import RidgeDirect

PENALTY = 3.0


def parts(ds: Any) -> list[Any]:
    """Unit rows of each modality, zero where it is missing."""
    x = RidgeDirect(content="raw-centred").fit(ds).item_factors().astype(np.float64)
    return [x[:, :6], x[:, 6:]]


def test_the_weights_are_a_weighted_least_squares() -> None:
    ds = small("MTMT")
    mu, R = Marec(content="raw-centred").fit(ds).arrays()["mu"], dense(ds)
    z = [np.ones_like(R)]
    for x in parts(ds):
        G = x[ds.train_items] @ x[ds.train_items].T
        np.fill_diagonal(G, 0)
        z.append(R @ G)
    v = np.where(R > 0, 1, UNSEEN)

    def objective(mu: Any) -> float:
        return float((v * (R - sum(m * each for m, each in zip(mu, z, strict=True))) ** 2).sum())

    for k in range(3):
        step = 1e-3 * np.eye(3)[k]
        assert abs(objective(mu + step) - objective(mu - step)) < 1e-6 * objective(mu)


@pytest.mark.parametrize("beta", [0.5, 10.0])
def test_a_new_items_column_is_at_the_minimum_of_the_aligned_loss(beta: float) -> None:
    """Up to the factor beta / (1 + beta), which all new items share."""
    ds = small("FTFT")
    model = Marec(marec_penalty=PENALTY, content="raw-centred").fit(ds)
    R, mu = dense(ds), model.arrays()["mu"]
    x = [each[ds.train_items] for each in parts(ds)]
    rng = np.random.default_rng(0)
    for i in ds.new_items()[:5]:
        g = sum(mu[1 + m] * x[m] @ parts(ds)[m][i] for m in range(2))
        b = beta / (1 + beta) * model.item_factors()[i].astype(np.float64)

        def objective(b: Any, g: Any = g) -> float:
            fit, lam = R @ b, PENALTY * (1 + beta)
            return float((fit**2).sum() + beta * ((R @ g - fit) ** 2).sum() + lam * (b**2).sum())

        step = 1e-3 * rng.standard_normal(b.shape)
        assert abs(objective(b + step) - objective(b - step)) < 1e-5 * objective(b)


def test_an_item_that_lacks_a_modality_is_scaled_to_its_share() -> None:
    ds = small()
    owned, plain = (Marec(modality_scale=how, content="raw-centred").fit(ds) for how in ("owned", "plain"))
    mu = np.abs(owned.arrays()["mu"][1:])
    for i, available in enumerate(ds.available):
        factor = mu.sum() / mu[available].sum()
        np.testing.assert_allclose(owned.item_factors()[i], factor * plain.item_factors()[i], rtol=1e-3, atol=1e-6)
