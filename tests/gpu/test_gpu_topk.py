"""The search for the best items on the device: order, ties, exclusions, long lists, odd sizes, no trace of tiling."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, SIZES, gpu, home, kernel_module, thread_order

from milk_np.kernels.reference import top_k as plain

pytestmark = pytest.mark.gpu


def whole(rng, *shape):
    """Small whole numbers: products are exact, so kernels must agree to the last bit, and many scores tie."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def exclusions(rng, Q, N):
    rows = [np.flatnonzero(rng.random(N) < rng.random()) for _ in range(Q)]
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return indptr, np.concatenate([*rows, np.zeros(0, int)]).astype(np.int32)


def agree(arguments, order=0):
    with thread_order(order):
        mine = gpu.top_k(*arguments)
    for a, b in zip(mine, plain(*arguments), strict=True):
        assert home(a).dtype == b.dtype
        np.testing.assert_array_equal(home(a), b)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("Q", SIZES[:-1])
@pytest.mark.parametrize("N", SIZES)
def test_sizes(Q, N, order):
    rng = np.random.default_rng([Q, N])
    queries, items = whole(rng, Q, 9), whole(rng, N, 9)
    agree((queries, items, 20), order)
    agree((queries, items, 33, *exclusions(rng, Q, N)), order)


def test_many_queries():
    rng = np.random.default_rng(0)
    agree((whole(rng, 1025, 4), whole(rng, 33, 4), 5, *exclusions(rng, 1025, 33)))


@pytest.mark.parametrize("K", [0, *SIZES])
def test_widths(K):
    rng = np.random.default_rng(K)
    agree((whole(rng, 13, K), whole(rng, 70, K), 10))


@pytest.mark.parametrize("k", [1, 1023, 1024, 1025, 2600, 4000])
def test_lists_longer_than_a_block_holds(k):
    rng = np.random.default_rng(k)
    queries, items = whole(rng, 2, 4), whole(rng, 3000, 4)
    agree((queries, items, k, *exclusions(rng, 2, 3000)))


@pytest.mark.parametrize(("Q", "N", "k"), [(0, 5, 3), (4, 0, 3), (4, 5, 0), (0, 0, 0)])
def test_empty(Q, N, k):
    agree((np.ones((Q, 3), np.float32), np.ones((N, 3), np.float32), k))


def test_scores_that_only_grow_or_only_fall():
    items = np.arange(3000, dtype=np.float32)[:, None]
    agree((np.array([[1.0], [-1.0], [0.0]], np.float32), items, 4))


def test_zeros_of_both_signs_tie_and_nan_is_never_listed():
    items = np.array([[-1.0], [-0.0], [0.0], [-0.0], [1.0]], np.float32)
    agree((np.ones((1, 1), np.float32), items, 5))
    items = np.array([[-1e-30], [1e-30], [-1e-30]], np.float32)  # products too small for a number, of either sign
    agree((np.full((1, 1), 1e-30, np.float32), items, 3))
    items = np.array([[1.0], [np.nan], [3.0], [-np.inf], [np.inf]], np.float32)
    agree((np.array([[1.0], [np.nan]], np.float32), items, 5))


def test_bits_do_not_depend_on_how_queries_are_cut(monkeypatch):
    """Real numbers, where the order of summation shows."""
    rng = np.random.default_rng(2)
    queries, items = (rng.standard_normal((n, 67), dtype=np.float32) for n in (70, 203))
    indptr, exclude = exclusions(rng, 70, 203)
    index, score = map(home, gpu.top_k(queries, items, 20, indptr, exclude))
    monkeypatch.setattr(kernel_module("topk"), "MOST_BYTES", 4 * 203 * 3)
    for mine, expected in zip(gpu.top_k(queries, items, 20, indptr, exclude), (index, score), strict=True):
        np.testing.assert_array_equal(home(mine), expected)
    for q in (0, 7, 69):
        one = gpu.top_k(queries[q : q + 1], items, 20, indptr[q : q + 2] - indptr[q], exclude[indptr[q] :])
        np.testing.assert_array_equal(home(one[1]), score[q : q + 1])
    exact = np.einsum("qk,qjk->qj", queries.astype(np.float64), items[index].astype(np.float64))
    np.testing.assert_allclose(score[index >= 0], exact[index >= 0], rtol=0, atol=67 * 2**-24 * 67)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_layouts_and_types(dtype):
    rng = np.random.default_rng(8)
    queries, items = whole(rng, 34, 6), whole(rng, 65, 6)
    pair = exclusions(rng, 34, 65)
    strided = np.repeat(np.asfortranarray(queries.astype(dtype)), 2, axis=0)[::2]
    mine = gpu.top_k(strided, np.asfortranarray(items.astype(dtype)), 12, *pair)
    for a, b in zip(mine, plain(queries, items, 12, *pair), strict=True):
        np.testing.assert_array_equal(home(a), b)
