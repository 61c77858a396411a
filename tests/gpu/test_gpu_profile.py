"""Kernels of the kernel profile on the device, each against its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpu_cases import ORDERS, Guarded, gpu, home, kernel_module, lists, put, thread_order
from kernel_cases import assert_close

import milk_np.kernels.reference as reference

pytestmark = pytest.mark.gpu


def compare(run: Any, order: int, shape: Any, dtype: Any = np.float32) -> None:
    """`run` a kernel of both packages into an output of `shape`, on the device between guards."""
    guarded, expected = Guarded(shape, dtype), np.full(shape, np.nan, dtype)
    run(reference, lambda x: x, expected)
    with thread_order(order):
        run(gpu, put, guarded.array)
    assert_close(guarded.home(), expected, np.dtype(dtype).type, terms=8)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("D", [1, 31, 33, 130])
def test_content(D: int, half: bool, order: int) -> None:
    rng = np.random.default_rng(D)
    raw = rng.standard_normal((40, D)).astype(np.float16 if half else np.float32)
    centre, owned = raw[7].astype(np.float32), rng.random(33) < 0.7
    rows = rng.permutation(40)[:33].astype(np.int32)
    raw[rows[~owned]] = np.nan
    compare(lambda k, to, out: k.content_rows(to(raw), to(rows), to(owned), to(centre), out), order, (33, D))


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize(("D", "r"), [(1, 1), (40, 3), (40, 40), (70, 33)])
def test_whitened(D: int, r: int, order: int) -> None:
    rng = np.random.default_rng(D)
    x = rng.standard_normal((21, D)).astype(np.float32)
    x[4] = 0
    axes = np.linalg.qr(rng.standard_normal((D, r)))[0].astype(np.float32)
    factors = (0.5 + rng.random(r)).astype(np.float32)

    def run(kernels: Any, to: Any, out: Any) -> None:
        out[...] = to(x @ (axes * factors))
        kernels.whiten_rows(to(x), to(factors), out)

    compare(run, order, (21, r))


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize("M", [1, 3])
def test_similarities(M: int, order: int) -> None:
    rng = np.random.default_rng(M)
    cosines = rng.uniform(-1, 1, (M, 19, 23)).astype(np.float32)
    weights = np.array([0.0, 0.3, 0.7][-M:], np.float32)

    def run(kernels: Any, to: Any, out: Any) -> None:
        similar = to(cosines.copy())
        kernels.exponentials(similar, 1.5)
        kernels.weighted_sum(similar, to(weights), out)

    compare(run, order, (19, 23))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("q", [1, 4, 16, 31, 128, 200])
@pytest.mark.parametrize("longest", [5, 400])
def test_sums_of_lists(longest: int, q: int, dtype: Any, order: int) -> None:
    rng = np.random.default_rng(q)
    indptr, index = lists(rng, 37, 50, longest)
    x = rng.standard_normal((50, q)).astype(dtype)
    compare(lambda k, to, out: k.sum_lists(to(indptr), to(index), to(x), out), order, (37, q), dtype)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("rows", "columns", "longest"), [(37, 50, 9), (1, 1, 2), (5, 600, 90), (300, 2, 3), (4, 5, 1)])
def test_transposed_lists(rows: int, columns: int, longest: int, order: int) -> None:
    indptr, index = lists(np.random.default_rng(rows), rows, columns, longest)
    expected = reference.transpose_lists(indptr, index, columns)
    with thread_order(order):
        found = gpu.transpose_lists(put(indptr), put(index), columns)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(home(a), b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("batch", [4, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 33, 64])
def test_products(n: int, dtype: Any, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module("gram"), "BATCH_ROWS", batch)
    rng = np.random.default_rng(n)
    a, b, z = (rng.standard_normal(shape).astype(dtype) for shape in ((n, 5), (n, 7), (5, 7)))
    own = rng.standard_normal(n).astype(dtype)

    def products(kernels: Any, to: Any, out: Any) -> None:
        out[...] = 1
        kernels.add_products(to(a), to(b), out)

    def gram(kernels: Any, to: Any, out: Any) -> None:
        out[...] = 1
        kernels.add_gram(to(a), out)

    def combined(kernels: Any, to: Any, out: Any) -> None:
        out[...] = to(b)
        kernels.combine(to(own), to(a), to(z), out)

    for run, shape, kind in ((products, (5, 7), np.float64), (gram, (5, 5), np.float64), (combined, (n, 7), dtype)):
        guarded, expected = Guarded(shape, kind), np.full(shape, np.nan, kind)
        run(reference, lambda x: x, expected)
        run(gpu, put, guarded.array)
        assert_close(guarded.home(), expected, dtype, terms=n)
    compare(lambda k, to, out: k.multiply(to(a), to(z), out), 0, (n, 7), dtype)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("candidates", [1, 31, 33, 200])
def test_places(candidates: int, order: int) -> None:
    """Few levels, so that scores tie; NaN, which is nowhere."""
    rng = np.random.default_rng(candidates)
    scores = rng.integers(0, 9, (7, candidates)).astype(np.float32)
    scores[3, 0] = np.nan
    user, item = rng.integers(0, 7, 50).astype(np.int32), rng.integers(0, candidates, 50)
    user[0], item[0] = 3, 0
    expected, found = np.empty(50, np.int64), put(np.full(50, -9, np.int64))
    reference.places(scores, user, item, expected)
    with thread_order(order):
        gpu.places(put(scores), put(user), put(item), found)
    np.testing.assert_array_equal(home(found), expected)
    empty = put(np.zeros(0, np.int64))
    gpu.places(put(scores), empty, empty, put(np.zeros(0, np.int64)))
