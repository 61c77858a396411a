"""Lengths of items' vectors against plain loops, and which power is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.models.kernel_profile import lengths as module
from milk_np.models.kernel_profile.lengths import POWERS, choose_power, scaled, scaled_scores
from milk_np.models.kernel_profile.ranked import Ranked


def vectors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Users and items in coordinates in which the users' mean squares differ by axis."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4000, 5)), rng.standard_normal((9, 5))


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_vectors_are_divided_by_the_root_mean_square_of_their_scores(power: float) -> None:
    P, Z = vectors()
    P = P / np.linalg.norm(P, axis=1, keepdims=True)
    values, axes = np.linalg.eigh(P.T @ P / len(P))
    P, Z = P @ axes, Z @ axes  # the users' second moments are diagonal, as on balanced axes
    mean = Z.mean(axis=0)
    found = scaled(Z.astype(np.float32), values.astype(np.float32), float(mean**2 @ values), power)
    for z, got in zip(Z, found, strict=True):
        s, whole = (np.sqrt(np.mean([(p @ x) ** 2 for p in P])) for x in (z, mean))
        np.testing.assert_allclose(got, z * (s / whole) ** -power, rtol=1e-5)
    assert found.dtype == np.float32


def test_held_out_scores_are_scaled_alike() -> None:
    """Each user's scores are of unit length there, for lack of their vectors."""
    P, Z = vectors(1)
    scores = (P @ Z.T).astype(np.float32)
    alike = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    s, whole = np.sqrt((alike**2).mean(axis=0)), np.sqrt((alike.mean(axis=1) ** 2).mean())
    np.testing.assert_allclose(scaled_scores(scores, 0.5), scores * (s / whole) ** -0.5, rtol=1e-4)
    np.testing.assert_array_equal(scaled_scores(scores, 0.0), scores)


def test_what_has_no_length_stays() -> None:
    Z = np.zeros((2, 3), np.float32)
    Z[1] = 2
    ones = np.ones(3, np.float32)
    np.testing.assert_array_equal(scaled(Z, ones, 0.0, 0.5), Z)
    np.testing.assert_allclose(scaled(Z, ones, 3.0, 1.0), [[0, 0, 0], [1, 1, 1]])
    assert np.isfinite(scaled_scores(np.zeros((3, 4), np.float32), 0.5)).all()


def planted(power: float, seed: int = 0) -> list[Ranked]:
    """Users choose what they would score highest under `power`."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(3):
        truth = rng.standard_normal((400, 200)) * rng.lognormal(0, 0.7, 200)
        scores = truth.astype(np.float32)
        user, item = np.nonzero(scaled_scores(scores, power) >= np.sort(scaled_scores(scores, power))[:, -8:-7])
        out.append(Ranked(scores, np.zeros((200, 1), np.bool_), user, item))
    return out


@pytest.mark.parametrize("power", POWERS)
def test_the_power_that_ranks_best_is_chosen(power: float) -> None:
    assert choose_power(planted(power)) == power


def test_what_is_better_by_chance_or_by_little_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain of one standard error is not enough, of three is; half a percent is not, however sure."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(400)
    noise = (noise - noise.mean()) / noise.std()
    for errors, expected in ((1.0, 0.0), (3.0, 0.25)):
        values = {0.0: np.zeros(400), 0.25: noise + errors / 20, 0.5: noise + errors / 20}
        monkeypatch.setattr(module, "_ndcg", lambda _, power, values=values: values[power])
        assert choose_power([]) == expected
    for gain, expected in ((0.005, 0.0), (0.015, 0.25)):
        values = {0.0: np.ones(400), 0.25: np.full(400, 1 + gain), 0.5: np.full(400, 1 + gain)}
        monkeypatch.setattr(module, "_ndcg", lambda _, power, values=values: values[power])
        assert choose_power([]) == expected


def test_with_nobody_to_rank_for_lengths_stay() -> None:
    assert choose_power([]) == 0.0
