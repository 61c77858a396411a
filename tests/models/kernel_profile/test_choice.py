"""The leave-one-out error against refitting without each item; what is chosen by it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from milk_np.models.kernel_profile.choice import NOISES, ContentKernel, _Errors, _left_out, choose, normalised

FREE = ("noise", "weights")
START = ContentKernel(1.0, 0.3, (0.5, 0.5), (0.0, 0.0))
ALONE = ContentKernel(1.0, 0.3, (1.0,), (0.0,))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cosines(*rows: np.ndarray) -> list[np.ndarray]:
    return [unit(x) @ unit(x).T for x in rows]


def error(modalities: list[np.ndarray], gram: np.ndarray, kernel: ContentKernel) -> float:
    return float(_Errors(modalities, gram, kernel.scale).of(kernel).sum())


def brute(K: np.ndarray, Y: np.ndarray, noise: float) -> np.ndarray:
    """Squares of what is left of each column of Y (U, n) that the others predict, refitted without it, (n,)."""
    left = np.empty(len(K))
    for i in range(len(K)):
        rest = np.delete(np.arange(len(K)), i)
        shares = np.linalg.solve(K[np.ix_(rest, rest)] + noise * np.eye(len(rest)), K[rest, i])
        left[i] = np.sum((Y[:, i] - Y[:, rest] @ shares) ** 2)
    return left


@pytest.fixture(scope="module")
def problem() -> tuple[list[np.ndarray], np.ndarray]:
    """Cosines of two modalities of 40 items, the first of which carries what 25 users think of them; and Y."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((40, 3))
    Y = rng.standard_normal((25, 3)) @ unit(z).T + 0.05 * rng.standard_normal((25, 40))
    return cosines(z + 0.1 * rng.standard_normal(z.shape), rng.standard_normal((40, 3))), Y


@pytest.mark.parametrize("noise", [0.03, 1.0, 100.0])
@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_left_out_is_the_error_of_refitting_without_each_item(problem, noise: float, scale: float) -> None:
    (x, _), Y = problem
    K = np.exp(scale * (x - 1))
    np.testing.assert_allclose(_left_out(K.copy(), Y.T @ Y, noise), brute(K, Y, noise), rtol=1e-7)


def test_error_is_the_mean_of_that_with_all_and_with_one_missing() -> None:
    rng = np.random.default_rng(5)
    modalities, Y = cosines(*rng.standard_normal((3, 12, 4))), rng.standard_normal((7, 12))
    kernel = ContentKernel(2.0, 0.5, (0.5, 0.3, 0.2), (0.0,) * 3)
    parts = [w * np.exp(2.0 * (x - 1)) for w, x in zip(kernel.weights, modalities, strict=True)]
    fewer = [brute(a + b, Y, 0.5) for a, b in combinations(parts, 2)]
    expected = (brute(sum(parts), Y, 0.5) + np.mean(fewer, axis=0)) / 2
    np.testing.assert_allclose(_Errors(modalities, Y.T @ Y, 2.0).of(kernel), expected, rtol=1e-7)
    alone = ContentKernel(2.0, 0.5, (1.0,), (0.0,))
    found = _Errors(modalities[:1], Y.T @ Y, 2.0).of(alone)
    np.testing.assert_allclose(found, brute(parts[0] / 0.5, Y, 0.5), rtol=1e-7)


@pytest.mark.parametrize("free", [set(c) for n in range(3) for c in combinations(FREE, n)])
def test_never_worse_than_the_start_and_what_is_not_free_stays(problem, free: set[str]) -> None:
    modalities, Y = problem
    gram = Y.T @ Y
    start = replace(START, scale=0.7, noise=20.0)
    kernel, share = choose(modalities, gram, start, frozenset(free))
    before = error(modalities, gram, start)
    after = error(modalities, gram, kernel)
    assert share == pytest.approx(after / np.trace(gram), rel=1e-12)
    assert after < before if free else after == before
    for name in set(FREE) - free:
        assert getattr(kernel, name) == getattr(start, name)
    assert sum(kernel.weights) == pytest.approx(1)
    assert min(kernel.weights) > 0


def test_what_was_chosen_is_not_made_worse_by_choosing_again(problem) -> None:
    modalities, Y = problem
    gram = Y.T @ Y
    found, _ = choose(modalities, gram, START, frozenset(FREE))
    again, _ = choose(modalities, gram, found, frozenset(FREE))
    assert error(modalities, gram, again) <= error(modalities, gram, found)
    worse = replace(found, noise=77.0)
    kept, _ = choose(modalities, gram, worse, frozenset())
    assert kept is worse


def test_one_modality_is_chosen_by_looking_at_every_value(problem) -> None:
    (x, _), Y = problem
    gram, start = Y.T @ Y, ALONE
    best = min(NOISES, key=lambda noise: brute(np.exp(start.scale * (x - 1)), Y, noise).sum())
    found, _ = choose([x], gram, start, frozenset(FREE))
    assert found == replace(start, noise=best)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_modality_of_noise_gets_the_smaller_weight(problem, order: tuple[int, int]) -> None:
    modalities, Y = problem
    kernel, share = choose([modalities[m] for m in order], Y.T @ Y, START, frozenset(FREE))
    assert kernel.weights[order.index(0)] > 2 * kernel.weights[order.index(1)]
    assert share < 1


def test_the_first_of_equals_stays() -> None:
    """Items of which none is like another predict nothing of each other, whatever the noise."""
    far = replace(ALONE, scale=1e4)
    assert error([np.eye(6)], np.eye(6), far) == error([np.eye(6)], np.eye(6), replace(far, noise=NOISES[0]))
    kernel, _ = choose([np.eye(6)], np.diag(np.arange(1.0, 7.0)), far, frozenset(FREE))
    assert kernel == far


def test_nothing_to_learn_from_content_takes_much_noise() -> None:
    rng = np.random.default_rng(7)
    modalities, Y = cosines(rng.standard_normal((30, 4))), rng.standard_normal((200, 30))
    kernel, share = choose(modalities, Y.T @ Y, ALONE, frozenset({"noise"}))
    assert kernel.noise >= 10
    assert share == pytest.approx(1, abs=0.1)


def test_normalised() -> None:
    assert normalised([1.0, 3.0]) == (0.25, 0.75)
