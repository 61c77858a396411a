"""Cholesky factors without the interpreter's lock, against NumPy."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.kernels.cpu import lapack

TYPES = (np.float32, np.float64)
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-11}


def definite(rng: np.random.Generator, n: int, dtype: type) -> np.ndarray:
    a = rng.standard_normal((n, n))
    return (a @ a.T / max(n, 1) + np.eye(n)).astype(dtype)


def factor_of(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The factor, with rubbish above it, as the routines leave it."""
    out = a.copy()
    lapack.cholesky(out)
    out[np.triu_indices(len(a), 1)] = rng.standard_normal(len(a) * (len(a) - 1) // 2)
    return out


def near(found: np.ndarray, expected: np.ndarray, dtype: type) -> None:
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype] * max(1, np.abs(expected).max(initial=0)))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(0, 9), st.sampled_from(TYPES), st.booleans())
def test_all_of_them(seed: int, n: int, rows: int, dtype: type, strided: bool) -> None:
    rng = np.random.default_rng(seed)
    a = definite(rng, n, dtype)
    factor = factor_of(a, rng)
    C = np.linalg.cholesky(a.astype(np.float64))
    near(np.tril(factor), C, dtype)
    wide = rng.standard_normal((rows, n + 5 if strided else n)).astype(dtype)
    for work, expected in (
        (lambda x: lapack.divide_rows(x, factor, False), lambda x: x @ np.linalg.inv(C)),
        (lambda x: lapack.divide_rows(x, factor, True), lambda x: x @ np.linalg.inv(C).T),
    ):
        x = wide.copy()
        work(x[:, :n])
        near(x[:, :n], expected(wide[:, :n].astype(np.float64)), dtype)
        np.testing.assert_array_equal(x[:, n:], wide[:, n:])
    tall = rng.standard_normal((n, rows + 3)).astype(dtype)
    for work, inverse in (
        (lambda x: lapack.divide(x, factor, False), np.linalg.inv(C)),
        (lambda x: lapack.divide(x, factor, True), np.linalg.inv(C).T),
        (lambda x: lapack.solve(x, factor), np.linalg.inv(a.astype(np.float64))),
    ):
        x = tall.copy()
        work(x[:, :rows])
        near(x[:, :rows], inverse @ tall[:, :rows].astype(np.float64), dtype)
        np.testing.assert_array_equal(x[:, rows:], tall[:, rows:])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_inverses_and_the_mirror(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    a = definite(rng, n, dtype)
    whole, triangle = factor_of(a, rng), factor_of(a, rng)
    lapack.invert_factor(whole)
    lapack.mirror(whole)
    near(whole, np.linalg.inv(a.astype(np.float64)), dtype)
    np.testing.assert_array_equal(whole, whole.T)
    lapack.invert_triangle(triangle)
    near(np.tril(triangle), np.linalg.inv(np.linalg.cholesky(a.astype(np.float64))), dtype)


def test_what_is_not_definite_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="row 2"):
        lapack.cholesky(np.diag([1.0, -1.0, 1.0]))


def test_the_lock_is_free_meanwhile() -> None:
    """Another thread counts on while a factor is made."""
    a, counted = definite(np.random.default_rng(0), 1500, np.float64), []
    worker = threading.Thread(target=lambda: lapack.cholesky(a))
    worker.start()
    while worker.is_alive():
        counted.append(time.perf_counter())
        time.sleep(0)
    worker.join()
    assert len(counted) > 10
