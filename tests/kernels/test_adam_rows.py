"""Row-lazy Adam equals dense Adam, whatever rows are touched when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference


def run_lazy(kernels, start, touches, grads, lr, dtype):
    """Apply the gradients to their rows only, then bring every row up to date."""
    p = start.astype(dtype)
    m, v, seen = np.zeros_like(p), np.zeros_like(p), np.zeros(len(p), np.int64)
    for step, (rows, grad) in enumerate(zip(touches, grads, strict=True), 1):
        kernels.adam_catch_up(p, m, v, seen, rows, lr, step - 1)
        kernels.adam_rows(p, grad.astype(dtype), m, v, seen, rows, lr, step)
    kernels.adam_catch_up(p, m, v, seen, np.arange(len(p), dtype=np.int32), lr, len(touches))
    return p, m, v


def run_dense(start, touches, grads, lr, dtype=np.float64):
    p = start.astype(dtype)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for step, (rows, grad) in enumerate(zip(touches, grads, strict=True), 1):
        full = np.zeros_like(p)
        full[rows] = grad
        reference.adam(p, full, m, v, lr, step)
    return p, m, v


def schedule(seed, U, K, steps, share):
    """Rows touched at each step: some often, some rarely, some never; and their gradients of very different sizes."""
    rng = np.random.default_rng(seed)
    often = rng.random(U) ** 4 * share
    touches = [np.flatnonzero(rng.random(U) < often).astype(np.int32) for _ in range(steps)]
    grads = [rng.standard_normal((len(rows), K)) * 10.0 ** rng.integers(-6, 2) for rows in touches]
    return rng.standard_normal((U, K)) * 0.1, touches, grads


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([1, 7, 60]), share=st.sampled_from([0.05, 1.0]))
def test_equals_dense_adam_in_double_precision(kernels, seed, steps, share):
    case = schedule(seed, 6, 3, steps, share)
    for lazy, dense in zip(run_lazy(kernels, *case, 0.01, np.float64), run_dense(*case, 0.01), strict=True):
        np.testing.assert_allclose(lazy, dense, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("share", [0.002, 0.05, 1.0])
def test_equals_dense_adam_over_thousands_of_steps(share):
    case = schedule(5, 40, 8, 4000, share)
    double, _, _ = run_lazy(cpu, *case, 0.01, np.float64)
    dense, _, _ = run_dense(*case, 0.01)
    np.testing.assert_allclose(double, dense, rtol=0, atol=1e-10)
    single, _, _ = run_lazy(cpu, *case, 0.01, np.float32)
    dense32, _, _ = run_dense(*case, 0.01, np.float32)
    # Both single-precision runs round at every step; neither is nearer to the double-precision one than the other.
    assert np.abs(single - dense).max() <= 2 * np.abs(dense32 - dense).max() + 1e-6


def test_single_precision_rows_move_exactly_as_dense_ones():
    """The same operations in the same order: not one bit of the table differs from dense Adam in NumPy's reference."""
    start, touches, grads = schedule(3, 30, 4, 200, 0.2)
    lazy, _, _ = run_lazy(reference, start, touches, [g.astype(np.float32) for g in grads], 0.01, np.float32)
    dense, _, _ = run_dense(start, touches, [g.astype(np.float32) for g in grads], 0.01, np.float32)
    np.testing.assert_array_equal(lazy, dense)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.02, 0.5]))
def test_cpu_matches_the_reference(seed, share):
    start, touches, grads = schedule(seed, 10, 5, 50, share)
    for mine, plain in zip(
        run_lazy(cpu, start, touches, grads, 0.01, np.float32),
        run_lazy(reference, start, touches, grads, 0.01, np.float32),
        strict=True,
    ):
        assert_close(mine, plain)
