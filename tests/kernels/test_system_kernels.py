"""The kernels that the paper's other systems train with, against their references on random shapes and types."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close
from scipy.sparse import random_array

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference
from milk_np.kernels.cpu.powers import power_of_e
from milk_np.nn.keyed import lanes
from milk_np.rng import stream_key

quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float32, np.float64])
WIDTHS = st.sampled_from([1, 3, 64, 65, 200])


def frozen(*arrays):
    for x in arrays:
        x.setflags(write=False)
    return arrays


def sparse(kernels, seed, R, C, K, dtype):
    rng = np.random.default_rng(seed)
    A = random_array((R, C), density=0.2, rng=rng, format="csr")
    x = rng.standard_normal((C, K)).astype(dtype)
    start = rng.standard_normal((R, K)).astype(dtype)
    matrix = frozen(A.indptr, A.indices, A.data.astype(dtype))
    chosen, used = rng.integers(0, R, rng.integers(0, 2 * R)), rng.random(C) < 0.6
    every, found = (np.arange(R), np.ones(C, bool)), []
    frozen(x, start, chosen, used, *every)
    for rows in (every[0], chosen, chosen[:0]):
        for which in (every[1], used):
            for begin, share in ((x[:0], 1.0), (start, 0.3)):
                out = np.full((len(rows), K), np.nan, dtype)
                kernels.sparse_product(*matrix, rows, which, begin, x, share, out)
                found.append(out)
    square = random_array((C, C), density=0.2, rng=rng, format="csr")
    own = np.full((C, K), np.nan, dtype)
    matrix, rows = (square.indptr, square.indices, square.data.astype(dtype)), np.arange(C)
    kernels.sparse_product(*matrix, rows, every[1], x, x, 1.0, own)
    return [*found, own]


def norm(kernels, seed, n, C, K, dtype):
    rng = np.random.default_rng(seed)
    x, dout = (rng.standard_normal((n, K)).astype(dtype) * 3 + 1 for _ in range(2))
    gamma, beta = (rng.standard_normal(K).astype(dtype) for _ in range(2))
    mean, var, inverse, dgamma, dbeta = (np.full(K, np.nan, dtype) for _ in range(5))
    unit, out, dx = (np.full((n, K), np.nan, dtype) for _ in range(3))
    frozen(x, dout, gamma, beta)
    kernels.batch_norm(x, gamma, beta, 1e-3, mean, var, inverse, unit, out)
    kernels.batch_norm_backward(dout, unit, inverse, gamma, dx, dgamma, dbeta)
    return [mean, var, inverse, unit, out, dx, dgamma, dbeta]


def descent(kernels, seed, n, C, K, dtype):
    rng = np.random.default_rng(seed)
    param, grad, velocity = (rng.standard_normal((n, K)).astype(dtype) for _ in range(3))
    square = kernels.add_penalty(*frozen(param.copy()), grad, 0.3)
    kernels.momentum_step(param, *frozen(grad), velocity, 0.9, 0.1)
    return [np.array([square], dtype), grad, param, velocity]


def contrast(kernels, seed, n, C, K, dtype):
    rng = np.random.default_rng(seed)
    scores, mask = rng.standard_normal((n, K)).astype(dtype), rng.random((n, K)) < 0.7
    positive = rng.integers(0, K, n)
    mask[np.arange(n), positive] = True
    found = []
    for each in (None, mask):
        slope, values = np.full((n, K), np.nan, dtype), np.full(n, np.nan, dtype)
        kernels.nce(*frozen(scores), 0.2, positive, each, slope, values)
        found += [slope, values]
    in_place = scores.copy()
    kernels.nce(in_place, 0.2, positive, None, in_place, values)
    np.testing.assert_array_equal(in_place, found[0])
    return found


def masking(kernels, seed, n, C, K, dtype):
    x = np.random.default_rng(seed).standard_normal((n, K)).astype(dtype)
    out = np.full_like(x, np.nan)
    kernels.mask_numbers(stream_key(seed, "x"), 40000, 1.5, *frozen(x), out)
    return [out]


def matmul(kernels, seed, n, C, K, dtype):
    """Rows of the first factor stand apart."""
    rng = np.random.default_rng(seed)
    x, g, w = (rng.standard_normal(shape).astype(dtype) for shape in ((n, C + 3), (n, K), (C, K)))
    out, transposed = np.full((n, K), np.nan, dtype), np.full((C, K), np.nan, dtype)
    frozen(x, g, w)
    kernels.matmul(x[:, :C], w, out)
    kernels.matmul_transposed(x[:, :C], g, transposed)
    return [out, transposed]


ODD = [
    *([np.nan, 1, 2], [1, np.nan, 2], [np.inf, 1, 2], [1, np.inf, 2], [-np.inf, 1, 2], [1, -np.inf, 2]),
    *([-np.inf, -np.inf], [0, 0, 0], [1e37, -1e38, 3e37], [60, 0, 1], [0, 60, 1], [17.6, 0, 0], [1e-30, 0], [5]),
    *([-5e37, -5e37], [-5e37], list(range(70)), [0, *range(-40, 90), np.nan]),
]


@pytest.mark.parametrize("row", ODD)
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("left_out", [None, 0, 1])
def test_odd_scores_get_the_share_of_the_reference(row, place, left_out) -> None:
    scores, mask = np.array([row], np.float32), None
    if left_out is not None:
        mask = np.arange(len(row))[None] != left_out
        mask[0, place] = True
    found = []
    for kernels in (cpu, reference):
        slope, values = np.empty_like(scores), np.empty(1, np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            kernels.nce(scores, 0.2, np.array([place]), mask, slope, values)
        found += [slope, values]
    np.testing.assert_allclose(found[0], found[2], 1e-5, 1e-30)
    np.testing.assert_allclose(found[1], found[3], 1e-5, 1e-30)


def test_powers_of_e_are_right_to_two_units_in_the_last_place() -> None:
    @numba.njit
    def powers(x, out):
        for k in range(len(x)):
            out[k] = power_of_e(x[k])

    x = np.concatenate([-np.geomspace(1e-30, 87, 100_000), np.linspace(0, 1, 1000)]).astype(np.float32)
    found, exact = np.empty_like(x), np.exp(x.astype(float))
    powers(x, found)
    assert (abs(found - exact) <= 2 * np.spacing(exact.astype(np.float32))).all()
    odd = np.array([0, -0.0, -87.5, -1e30, -np.inf, np.nan], np.float32)
    powers(odd, out := np.empty_like(odd))
    np.testing.assert_array_equal(out, np.array([1, 1, 0, 0, 0, np.nan], np.float32))


CASES = [sparse, norm, descent, contrast, masking, matmul]


@pytest.mark.parametrize("case", CASES)
@quick
@given(seed=seeds, n=st.sampled_from([1, 2, 63, 130]), C=st.sampled_from([1, 40]), K=WIDTHS, dtype=DTYPES)
def test_kernels_are_their_references(case, seed, n, C, K, dtype):
    for mine, theirs in zip(case(cpu, seed, n, C, K, dtype), case(reference, seed, n, C, K, dtype), strict=True):
        assert_close(mine, theirs, dtype, terms=n * K)


def test_large_tables_are_moved_in_blocks():
    for mine, theirs in zip(
        descent(cpu, 5, 130, 1, 200, np.float64), descent(reference, 5, 130, 1, 200, np.float64), strict=True
    ):
        assert_close(mine, theirs, np.float64, terms=26000)


@pytest.mark.parametrize("case", CASES)
def test_bits_do_not_depend_on_threads(case):
    found, before = [], numba.get_num_threads()
    for threads in {1, before}:
        numba.set_num_threads(threads)
        found.append(b"".join(x.tobytes() for x in case(cpu, 1, 900, 300, 200, np.float32)))
    numba.set_num_threads(before)
    assert len(set(found)) == 1


def test_many_candidates_in_parts(monkeypatch):
    """As on a large batch, where threads share the rows."""
    monkeypatch.setattr("milk_np.kernels.cpu.contrast.SMALL", 0)
    monkeypatch.setattr("milk_np.kernels.cpu.contrast.PART", 50)
    for mine, theirs in zip(
        contrast(cpu, 3, 90, 1, 9, np.float64), contrast(reference, 3, 90, 1, 9, np.float64), strict=True
    ):
        assert_close(mine, theirs, np.float64)


def test_a_mask_is_that_of_the_keyed_numbers():
    x = np.ones((3, 7), np.float32)
    for kernels in (cpu, reference):
        out = np.empty_like(x)
        kernels.mask_numbers(stream_key(5, "hidden", 2), 30000, 2.0, x, out)
        expected = lanes(np, x.size, 5, "hidden", 2).reshape(x.shape) < 30000
        np.testing.assert_array_equal(out, np.where(expected, 2, 0))


@pytest.mark.parametrize(("dtype", "first", "rtol"), [(np.float64, 60.0, 1e-12), (np.float32, 20.0, 2e-6)])
def test_a_loss_near_zero_keeps_its_digits(dtype, first, rtol):
    scores = np.array([[first, 0.0, 1.0]], dtype)
    others = np.exp(-first), np.exp(1 - first)
    for kernels in (cpu, reference):
        slope, values = np.empty((1, 3), dtype), np.empty(1, dtype)
        kernels.nce(scores, 1.0, np.zeros(1, np.int64), None, slope, values)
        np.testing.assert_allclose(values, sum(others), rtol=rtol)
        np.testing.assert_allclose(slope[0], [-sum(others), *others], rtol=rtol)
