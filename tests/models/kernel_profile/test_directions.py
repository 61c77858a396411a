"""Singular directions by the block Krylov method against NumPy's; the smoothing that is made of them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from milk_np.backends.numba import NumpyBackend
from milk_np.models.kernel_profile import directions as module
from milk_np.models.kernel_profile.directions import directions
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.smoothing import Smoothing


def pairs_of(R: np.ndarray, kernels: Any = "cpu") -> Pairs:
    rows = sparse.csr_array(R)
    return Pairs.from_lists(NumpyBackend(kernels), rows.indptr, rows.indices, R.shape[1])


def random_pairs(seed: int, U: int, n: int, share: float) -> np.ndarray:
    """Some users are alike, some items are nobody's."""
    rng = np.random.default_rng(seed)
    R = (rng.random((U, n)) < share * rng.random(n) * 2).astype(float)
    R[U // 2 : U // 2 + U // 4] = R[: U // 4]
    R[:, ::7] = 0
    return R


cases = st.builds(
    random_pairs,
    seed=st.integers(0, 999),
    U=st.sampled_from([2, 9, 40, 150]),
    n=st.sampled_from([2, 17, 60, 200]),
    share=st.sampled_from([0.02, 0.2, 0.6]),
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(R=cases, r=st.sampled_from([1, 5, 30]), kernels=st.sampled_from(["cpu", "reference"]))
def test_singular_values_and_vectors(R: np.ndarray, r: int, kernels: str) -> None:
    scale = 0.5 + np.random.default_rng(0).random(R.shape[1])
    found = directions(pairs_of(R, kernels), scale, r, tolerance=1e-10, dtype=np.float64)
    s = np.linalg.svd(R * scale, compute_uv=False)
    k = len(found.values)
    np.testing.assert_allclose(found.values**2, np.append(s, np.zeros(k))[:k] ** 2, atol=1e-9 * max(1, s[0] ** 2))
    assert not (s[k:r] > 1e-6).any()
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(k), atol=1e-12)
    A = (R * scale).T @ (R * scale)
    left = np.linalg.norm(A @ found.basis - found.basis * found.values**2, axis=0)
    assert left.max(initial=0) <= max(1e-9, 2 * found.error) * max(1, s[0] ** 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-9), (np.float64, 1e-2)])
def test_the_error_told_is_the_largest_residual(dtype: Any, tolerance: float) -> None:
    R = random_pairs(3, 400, 300, 0.1)
    found = directions(pairs_of(R), np.ones(300), 40, tolerance=tolerance, dtype=dtype)
    s = np.linalg.svd(R, compute_uv=False)
    assert found.basis.dtype == dtype
    assert found.error <= tolerance
    left = np.linalg.norm(R.T @ (R @ found.basis) - found.basis * found.values**2, axis=0) / s[0] ** 2
    np.testing.assert_allclose(left.max(), found.error, atol=1e-6 if dtype == np.float32 else 1e-12)
    assert found.products >= 40


def test_without_cycles_to_go_it_tells_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CYCLES", 1)
    R = random_pairs(4, 400, 300, 0.1)
    found = directions(pairs_of(R), np.ones(300), 40, tolerance=1e-12, dtype=np.float64)
    assert found.error > 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_do_not_depend_on_threads_and_come_again(dtype: Any) -> None:
    pairs, results = pairs_of(random_pairs(5, 900, 700, 0.05)), []
    before = numba.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        try:
            results.append(directions(pairs, np.ones(700), 20, tolerance=1e-4, dtype=dtype))
        finally:
            numba.set_num_threads(before)
    for name in ("values", "basis"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


def test_products_with_pairs_are_those_of_the_matrix() -> None:
    R = random_pairs(6, 80, 70, 0.2)
    pairs, x = pairs_of(R), np.random.default_rng(0).standard_normal((70, 150))
    expected = R.T @ (R @ x)
    pairs.gram_times(x)
    np.testing.assert_allclose(x, expected, atol=1e-9)
    np.testing.assert_array_equal(pairs.popularity(), R.sum(axis=0))
    assert pairs.shape == (80, 70)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(R=cases, rank=st.sampled_from([0, 3, 64]), power=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_smoothing_is_that_of_the_dense_path(R: np.ndarray, rank: int, power: float) -> None:
    expected = Smoothing.fit(sparse.csr_array(R), rank=rank, ridge=2.0, power=power)
    s = np.linalg.svd(R / np.maximum(R.sum(axis=0), 1) ** (power / 2), compute_uv=False)
    if rank < len(s) and rank and s[rank - 1] - s[min(rank, len(s) - 1)] < 1e-3:
        return  # equal directions may be kept in any mixture
    found = Smoother.fit(
        pairs_of(R), rank=rank, ridge=2.0, power=power, tolerance=1e-11, dtype=np.float64
    ).on_host()  # fmt: skip
    x = np.random.default_rng(1).standard_normal((R.shape[1], 3))
    np.testing.assert_allclose(found.apply(x), expected.apply(x), atol=1e-6 * np.abs(expected.own).max())


def test_applying_in_place_is_applying() -> None:
    R = random_pairs(7, 90, 110, 0.2)
    smoother = Smoother.fit(pairs_of(R), rank=9, ridge=2.0, power=0.5, tolerance=1e-9, dtype=np.float64)
    host, x = smoother.on_host(), np.random.default_rng(1).standard_normal((110, 4))
    for method, plain in (("apply", host.apply), ("apply_transposed", host.apply_transposed)):
        y = x.copy()
        getattr(smoother, method)(y)
        np.testing.assert_allclose(y, plain(x), atol=1e-12)
