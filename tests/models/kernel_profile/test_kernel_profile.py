"""The kernel profile against its formulas written out, dense and without compression."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from kernel_profile_cases import EMPTY, OPTIONS, small

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.limits import TRIED
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.smoothing import OWN
from milk_np.models.kernel_profile.whitening import FLOOR


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def model(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS).fit(ds)


def scores(model: KernelProfile) -> np.ndarray:
    return model.user_factors().astype(np.float64) @ model.item_factors().T.astype(np.float64)


# The second implementation


def pairs(ds: Dataset) -> np.ndarray:
    """R (U, n)."""
    R = np.zeros((ds.n_users, ds.n_items))
    R[ds.interactions(0)] = 1
    return R[:, ds.train_items]


def smoothing(ds: Dataset, options: KernelProfileSettings) -> np.ndarray:
    """B (n, n), with the exact EASE matrix."""
    R = pairs(ds)
    popularity = np.maximum(R.sum(axis=0), 1)
    ridges = options.smoothing * (popularity / popularity.mean()) ** options.smoothing_power
    P = np.linalg.inv(R.T @ R + np.diag(ridges))
    return OWN * np.eye(len(P)) + np.eye(len(P)) - P / np.diag(P)


def smoothed(ds: Dataset, options: KernelProfileSettings) -> np.ndarray:
    """R B (U, n)."""
    return pairs(ds) @ smoothing(ds, options)


def parts(ds: Dataset, kernel: ContentKernel) -> list[np.ndarray]:
    """Weighted kernel (I, n) of each modality between all items and the training items."""
    out = []
    for m, name in enumerate(ds.modalities):
        raw, owned = ds.features[name].astype(np.float64), ds.available[:, m]
        centred = raw - raw[owned & (ds.item_split == 0)].mean(axis=0)
        x = np.where(owned[:, None], centred / np.linalg.norm(centred, axis=1, keepdims=True), 0)
        if kernel.whitening[m]:
            rows = x[ds.train_items]
            variance, axes = np.linalg.eigh(rows.T @ rows)
            x = x @ (axes * (variance / variance.mean() + FLOOR) ** (-kernel.whitening[m] / 2))
            x /= np.where(owned, np.linalg.norm(x, axis=1), 1)[:, None]
        out.append(kernel.weights[m] * np.exp(kernel.scale * (x @ x[ds.train_items].T - 1)))
    return out


def written_out(ds: Dataset, model: KernelProfile) -> np.ndarray:
    """Scores (U, I): exact kernel ridge of the columns of R B, under the modalities that each item owns, or all.

    The columns are combinations of the training users' vectors, those of histories where all items count alike.
    """
    kernel, R, B = model.kernel, pairs(ds), smoothing(ds, model.settings)
    similar = parts(ds, kernel)
    values, vectors = np.linalg.eigh(sum(similar)[ds.train_items])
    h = B @ (vectors * (np.sqrt(np.maximum(values, 0)) / (values + kernel.noise)))
    gram, axes = np.linalg.eigh((R @ h).T @ R @ h)
    keep = gram > 1e-10 * gram[-1]
    h = h @ axes[:, keep][:, -model.settings.profile_width :]
    profiles = (R * np.maximum(R.sum(axis=0), 1) ** -model.settings.rarity) @ h
    profiles += model.settings.prior * profiles.sum(axis=0) / R.sum()
    Y = profiles @ np.linalg.pinv(R @ h) @ R @ B
    out = np.empty((ds.n_users, ds.n_items))
    each = model.settings.owned_sets == "each"
    for i, owned in enumerate(ds.available if each else np.ones_like(ds.available)):
        k = sum(similar[m] for m in np.flatnonzero(owned))
        out[:, i] = Y @ np.linalg.solve(k[ds.train_items] + kernel.noise * np.eye(k.shape[1]), k[i])
    return out


CASES = {
    "single": (1, "FTFT", ()),
    "full": (2, "FTFT", ()),
    "two": (2, "MTMT", ()),
    "three": (3, "MTMT", (0.3, 0.4, 0.3)),
    "five": (5, "MTMT", ()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kernel_scale": 2.0, "kernel_noise": 0.5},
        {"owned_sets": "whole"},
        {"whitening": (0.0,)},
        {"whitening": (0.7,)},
        {"rarity": 0.0},
        {"rarity": 1.0},
        {"smoothing_power": 0.0},
        {"prior": 0.1},
    ],
)
def test_scores_are_the_formula(case: str, given: dict[str, Any]) -> None:
    ds = small(*CASES[case])
    model = KernelProfile(**OPTIONS, **given).fit(ds)
    expected = written_out(ds, model)
    np.testing.assert_allclose(scores(model), expected, atol=2e-3 * np.abs(expected).max())
    assert (expected[EMPTY] != 0).all()
    assert len(model.kernel.weights) == ds.n_modalities
    if "kernel_scale" in given:
        assert (model.kernel.scale, model.kernel.noise) == (2.0, 0.5)
    assert model.kernel.whitening in itertools.product(given.get("whitening", TRIED), repeat=ds.n_modalities)
    sets = {"single": 1, "full": 3, "two": 3, "three": 7, "five": 11}[case]
    assert len(model.arrays()["sets"]) == (1 if "owned_sets" in given else sets)


@pytest.mark.parametrize("width", [1, 5])
def test_few_axes_are_the_principal_ones_of_the_users(ds: Dataset, width: int) -> None:
    model = KernelProfile(**OPTIONS, profile_width=width).fit(ds)
    expected = written_out(ds, model)
    assert model.user_factors().shape == (EMPTY + 1, width)
    np.testing.assert_allclose(scores(model), expected, atol=2e-3 * np.abs(expected).max())


def test_the_error_told_is_that_of_leaving_each_training_item_out(ds: Dataset, model: KernelProfile) -> None:
    Y = smoothed(ds, model.settings)
    similar = [part[ds.train_items] for part in parts(ds, model.kernel)]

    def error(K: np.ndarray) -> float:
        total = 0.0
        for i in range(len(K)):
            rest = np.delete(np.arange(len(K)), i)
            G = K[np.ix_(rest, rest)] + model.kernel.noise * np.eye(len(rest))
            total += float(np.sum((Y[:, i] - Y[:, rest] @ np.linalg.solve(G, K[rest, i])) ** 2))
        return total

    fewer = [error(sum(some)) for some in combinations(similar, 1)]
    expected = (error(sum(similar)) + np.mean(fewer)) / 2 / np.sum(Y**2)
    assert model.error == pytest.approx(expected, rel=1e-4)


def test_fewer_landmarks_are_near_and_drawn_by_the_seed(ds: Dataset, model: KernelProfile) -> None:
    noise = model.kernel.noise
    some = {seed: KernelProfile(**OPTIONS, kernel_noise=noise, landmarks=30, seed=seed).fit(ds) for seed in (0, 1)}
    assert not np.array_equal(some[0].arrays()["landmark0"], some[1].arrays()["landmark0"])
    for fewer in some.values():
        assert fewer.arrays()["coefficients"].shape[1] == 30
        assert np.corrcoef(scores(fewer).ravel(), scores(model).ravel())[0, 1] > 0.9


def test_items_of_equal_content_are_landmarks_too(ds: Dataset) -> None:
    features = {name: rows.copy() for name, rows in ds.features.items()}
    for rows in features.values():
        rows[ds.train_items[:20]] = rows[ds.train_items[0]]
    alike = replace(ds, features=features, available=np.ones_like(ds.available))
    model = KernelProfile(**OPTIONS).fit(alike)
    expected = written_out(alike, model)
    np.testing.assert_allclose(scores(model), expected, atol=2e-3 * np.abs(expected).max())


def test_weights_are_those_given(ds: Dataset) -> None:
    model = KernelProfile(**OPTIONS, modality_weights=(3.0, 1.0)).fit(ds)
    assert model.kernel.weights == (0.75, 0.25)
    expected = written_out(ds, model)
    np.testing.assert_allclose(scores(model), expected, atol=2e-3 * np.abs(expected).max())


def test_a_weight_for_each_modality_is_needed(ds: Dataset) -> None:
    with pytest.raises(SettingsError, match=r"modality_weights .*expected 2.*image, text.*got 3"):
        KernelProfile(**OPTIONS, modality_weights=(1.0, 1.0, 1.0)).fit(ds)


def test_whitening_is_that_given_to_each_modality_or_all(ds: Dataset) -> None:
    for given, each in (((0.3, 0.0), (0.3, 0.0)), ((1.0,), (1.0, 1.0))):
        model = KernelProfile(**OPTIONS, whitening=given).fit(ds)
        assert model.kernel.whitening == each
        expected = written_out(ds, model)
        np.testing.assert_allclose(scores(model), expected, atol=2e-3 * np.abs(expected).max())
    with pytest.raises(SettingsError, match=r"--whitening.*expected 2.*image, text, or one for all, got 3"):
        KernelProfile(**OPTIONS, whitening=(0.0, 1.0, 0.5)).fit(ds)


def test_content_drowned_by_one_direction_is_whitened() -> None:
    """Along one direction, which says nothing, items differ twenty times as much as along all others."""
    ds = make_synthetic(300, 400, 6000, {"image": 16, "text": 8}, new_items=0.3, seed=4)
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(16) / 4
    loud = ds.features["image"] + 20 * ds.features["image"].std() * rng.standard_normal((400, 1)) * direction
    drowned = replace(ds, features={**ds.features, "image": loud.astype(np.float32)})
    options = OPTIONS | {"modality_weights": (0.9, 0.1)}
    model, plain = (KernelProfile(**options, whitening=given).fit(drowned) for given in ((), (0.0,)))
    assert model.kernel.whitening[0] > 0
    assert model.error < plain.error
    ndcg, before = (evaluate(each, drowned, topk=(5,)).metrics["ndcg@5"] for each in (model, plain))
    assert ndcg > 1.1 * before


# Users
