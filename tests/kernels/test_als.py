"""Half a sweep of alternating least squares: the kernel against its reference, and both against the objective."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference

KERNELS = pytest.mark.parametrize("kernels", [reference, cpu], ids=["reference", "cpu"])


def make_case(seed: int, n: int, m: int, K: int, density: float, weight: float, power: int) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    pairs = rng.random((n, m)) < density
    indptr = np.concatenate([[0], np.cumsum(pairs.sum(axis=1))]).astype(np.int64)
    Q = rng.standard_normal((m, K)) * 10.0**power
    penalty = rng.uniform(0.01, 2, n) * 10.0 ** (2 * power)
    columns = np.nonzero(pairs)[1].astype(np.int32)
    return SimpleNamespace(
        pairs=pairs, indptr=indptr, columns=columns, Q=Q, weight=weight, penalty=penalty,
        prior=rng.standard_normal((n, K)),
    )  # fmt: skip


cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 7, 40]),
    m=st.sampled_from([1, 5, 60]),
    K=st.sampled_from([1, 2, 3, 8, 33, 64]),
    density=st.sampled_from([0.0, 0.1, 1.0]),
    weight=st.sampled_from([0.0, 1.0, 40.0]),
    power=st.integers(-2, 2),
)


def solved(kernels: Any, case: SimpleNamespace) -> Any:
    out = np.full(case.prior.shape, np.nan)
    given_ = (case.indptr, case.columns, case.Q, case.Q.T @ case.Q, case.weight, case.penalty, case.prior)
    for array in given_:
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    kernels.solve_rows(*given_, out)
    return out


def objective(case: SimpleNamespace, p: Any) -> float:
    scores = p @ case.Q.T
    confidence = 1 + case.weight * case.pairs
    near = case.penalty[:, None] * (p - case.prior) ** 2
    return float((confidence * (case.pairs - scores) ** 2).sum() + near.sum())


@settings(max_examples=60)
@given(case=cases)
def test_equals_the_reference(case: SimpleNamespace) -> None:
    expected = solved(reference, case)
    np.testing.assert_allclose(solved(cpu, case), expected, rtol=0, atol=1e-8 * np.abs(expected).max(initial=1))


@KERNELS
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), weight=st.sampled_from([0.0, 10.0]))
def test_the_gradient_of_the_objective_is_zero(kernels: Any, seed: int, weight: float) -> None:
    """By central differences, which are exact for a quadratic but for rounding."""
    case = make_case(seed, 6, 12, 4, 0.3, weight, 0)
    p, rng, eps = solved(kernels, case), np.random.default_rng(seed), 1e-3
    for _ in range(5):
        step = eps * rng.standard_normal(p.shape)
        up, down = objective(case, p + step), objective(case, p - step)
        assert abs(up - down) < 1e-9 * (1 + up)
        assert up + down - 2 * objective(case, p) > 0


@KERNELS
def test_a_row_without_pairs_is_drawn_towards_its_prior(kernels: Any) -> None:
    case = make_case(3, 4, 9, 5, 0.0, 10.0, 0)
    case.penalty = np.full(4, 1e9)
    np.testing.assert_allclose(solved(kernels, case), case.prior, atol=1e-7)
    case.prior = np.zeros_like(case.prior)
    assert not solved(kernels, case).any()


def test_the_same_bits_on_any_number_of_threads_and_in_any_company() -> None:
    case = make_case(5, 40, 60, 33, 0.2, 10.0, 0)
    whole, before = solved(cpu, case), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(solved(cpu, case), whole)
    finally:
        numba.set_num_threads(before)
    start, end = case.indptr[7:9]
    alone = SimpleNamespace(**{**vars(case), "indptr": np.array([0, end - start]), "columns": case.columns[start:end]})
    alone.penalty, alone.prior = case.penalty[7:8], case.prior[7:8]
    np.testing.assert_array_equal(solved(cpu, alone)[0], whole[7])
