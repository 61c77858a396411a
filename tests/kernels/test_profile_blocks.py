"""The kernels of the kernel profile's sums against their references: content, sparse products, products in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference

quick = settings(max_examples=40, deadline=None)
floats = st.sampled_from([np.float32, np.float64])


def make_lists(seed, rows, columns, q, dtype):
    """Lists of any length, some empty, with repeated entries."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, rows) * (rng.random(rows) < 0.8)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = rng.integers(0, columns, indptr[-1]).astype(np.int32)
    return SimpleNamespace(indptr=indptr, index=index, x=rng.standard_normal((columns, q)).astype(dtype))


lists = st.builds(
    make_lists,
    seed=st.integers(0, 2**32 - 1),
    rows=st.sampled_from([0, 1, 5, 300]),
    columns=st.sampled_from([1, 7, 200]),
    q=st.sampled_from([0, 1, 3, 16, 65]),
    dtype=floats,
)


def make_content(seed, n, D, raw_type, frozen=False):
    """Items in any order, some owned; of those that aren't, the rows hold NaN; one row is its centre."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((n + 3, D)).astype(raw_type)
    centre = rng.standard_normal(D).astype(np.float32)
    raw[n // 2] = centre = centre.astype(raw_type)
    rows = rng.permutation(n + 3)[:n].astype(np.int32)
    owned = rng.random(n) < 0.7
    raw[rows[~owned]] = np.nan
    raw.flags.writeable = not frozen
    return SimpleNamespace(raw=raw, rows=rows, owned=owned, centre=centre.astype(np.float32), n=n, D=D)


contents = st.builds(
    make_content,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 5, 260]),
    D=st.sampled_from([1, 3, 33, 64]),
    raw_type=st.sampled_from([np.float16, np.float32]),
    frozen=st.booleans(),
)


@quick
@given(case=lists)
def test_sums_of_lists(case):
    found, expected = (np.full((len(case.indptr) - 1, case.x.shape[1]), np.nan, case.x.dtype) for _ in range(2))
    cpu.sum_lists(case.indptr, case.index, case.x, found)
    reference.sum_lists(case.indptr, case.index, case.x, expected)
    dense = np.zeros((len(found), len(case.x)))
    for s in range(len(found)):
        np.add.at(dense[s], case.index[case.indptr[s] : case.indptr[s + 1]], 1)
    assert_close(expected, dense @ case.x, case.x.dtype.type, terms=8)
    assert_close(found, expected, case.x.dtype.type)


@quick
@given(case=lists)
def test_transposed_lists(case):
    found, expected = (k.transpose_lists(case.indptr, case.index, len(case.x)) for k in (cpu, reference))
    for a, b, kind in zip(found, expected, (np.int64, np.int32), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype == kind
    named = [(r, c) for r in range(len(case.indptr) - 1) for c in case.index[case.indptr[r] : case.indptr[r + 1]]]
    offsets, rows = expected
    assert sorted(named) == sorted((r, c) for c in range(len(case.x)) for r in rows[offsets[c] : offsets[c + 1]])


@quick
@given(case=contents)
def test_content(case):
    found, expected = (np.full((case.n, case.D), np.nan, np.float32) for _ in range(2))
    for kernels, out in ((cpu, found), (reference, expected)):
        kernels.content_rows(case.raw, case.rows, case.owned, case.centre, out)
    assert_close(found, expected)
    assert not expected[~case.owned].any()
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1)
    left = (case.raw[case.rows].astype(np.float32) != case.centre).any(axis=1) & case.owned
    np.testing.assert_allclose(lengths, left, atol=1e-6)


@quick
@given(case=contents, r=st.sampled_from([1, 2, 64]), seed=st.integers(0, 99))
def test_whitened(case, r, seed):
    r = min(r, case.D)
    rng = np.random.default_rng(seed)
    x = np.empty((case.n, case.D), np.float32)
    reference.content_rows(case.raw, case.rows, case.owned, case.centre, x)
    axes = np.linalg.qr(rng.standard_normal((case.D, r)))[0].astype(np.float32)
    factors = (0.5 + rng.random(r)).astype(np.float32)
    found, expected = (x @ (axes * factors) for _ in range(2))
    cpu.whiten_rows(x, factors, found)
    reference.whiten_rows(x, factors, expected)
    assert_close(found, expected)
    if r == case.D:
        np.testing.assert_allclose(np.linalg.norm(expected, axis=1), x.any(axis=1), atol=1e-5)


@quick
@given(
    seed=st.integers(0, 99), M=st.integers(1, 4), n=st.sampled_from([0, 1, 300]), L=st.sampled_from([1, 5, 64]),
    scale=st.sampled_from([0.5, 1.0, 7.0]),
)  # fmt: skip
def test_similarities(seed, M, n, L, scale):
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, (M, n, L)).astype(np.float32)
    weights = (rng.random(M) * (rng.random(M) < 0.6)).astype(np.float32)
    results = []
    for kernels in (cpu, reference):
        similar, out = cosines.copy(), np.full((n, L), np.nan, np.float32)
        kernels.exponentials(similar, scale)
        similar[weights == 0] = np.nan
        kernels.weighted_sum(similar, weights, out)
        results.append(out)
    assert_close(*results)
    expected = np.einsum("m,mnl->nl", weights, np.exp(scale * (cosines - 1.0)))
    assert_close(results[1], expected)


def make_factors(seed, n, p, q, dtype):
    rng = np.random.default_rng(seed)
    a, b, z = (rng.standard_normal(shape).astype(dtype) for shape in ((n, p), (n, q), (p, q)))
    return SimpleNamespace(a=a, b=b, z=z, own=rng.standard_normal(n).astype(dtype), dtype=dtype)


factors = st.builds(
    make_factors,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 255, 257, 700]),
    p=st.sampled_from([0, 1, 3, 300]),
    q=st.sampled_from([1, 5, 257]),
    dtype=floats,
)


@quick
@given(case=factors)
def test_products(case):
    a, b, z = case.a, case.b, case.z
    for name in ("products", "gram", "multiply", "combine"):
        results = []
        for kernels in (cpu, reference):
            if name == "products":
                out = np.ones((a.shape[1], b.shape[1]))
                kernels.add_products(a, b, out)
            elif name == "gram":
                out = np.ones((b.shape[1],) * 2)
                kernels.add_gram(b, out)
                out = np.tril(out)
            elif name == "multiply":
                out = np.full(b.shape, np.nan, case.dtype)
                kernels.multiply(a, z, out)
            else:
                out = b.copy()
                kernels.combine(case.own, a, z, out)
            results.append(out)
        wide = [x.astype(np.float64) for x in (a, b, z, case.own)]
        exact = {
            "products": 1 + wide[0].T @ wide[1], "gram": np.tril(1 + wide[1].T @ wide[1]),
            "multiply": wide[0] @ wide[2], "combine": wide[3][:, None] * wide[1] + wide[0] @ wide[2],
        }[name]  # fmt: skip
        for each in results:
            assert_close(each, exact, case.dtype, terms=len(a) + a.shape[1])


def test_sums_of_many_rows_keep_what_float32_loses():
    """A million ones and a half: float32 alone stops at 2^24."""
    n = 1 << 17
    a = np.full((n, 1), 200.25, np.float32)
    out = np.zeros((1, 1))
    cpu.add_products(a, a, out)
    assert abs(out[0, 0] / (n * 200.25**2) - 1) < 1e-7
    assert abs(float(np.add.accumulate(a * a, dtype=np.float32)[-1, 0]) / (n * 200.25**2) - 1) > 1e-5


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_the_bits_do_not_depend_on_threads():
    case, many = make_factors(0, 3000, 300, 520, np.float32), make_lists(1, 9000, 500, 48, np.float32)
    results = []
    for threads in (1, 2):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            total, gram = np.zeros((300, 520)), np.zeros((520, 520))
            cpu.add_products(case.a, case.b, total)
            cpu.add_gram(case.b, gram)
            x, out, sums = case.b.copy(), np.empty_like(case.b), np.empty((9000, 48), np.float32)
            cpu.combine(case.own, case.a, case.z, x)
            cpu.multiply(case.a, case.z, out)
            cpu.sum_lists(many.indptr, many.index, many.x, sums)
            results.append([total, np.tril(gram), x, out, sums])
        finally:
            numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@quick
@given(
    seed=st.integers(0, 99), users=st.integers(1, 9), candidates=st.sampled_from([1, 7, 200]),
    levels=st.integers(1, 9),
)  # fmt: skip
def test_places(seed, users, candidates, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(users, candidates)).astype(np.float32)
    user, item = np.nonzero(rng.random((users, candidates)) < 0.3)
    found, expected = np.full(len(user), -1), np.full(len(user), -1)
    cpu.places(scores, user, item, found)
    reference.places(scores, user, item, expected)
    np.testing.assert_array_equal(found, expected)
    assert ((expected >= 0) & (expected < candidates)).all()
