"""Rows of feature tables and products with them: types, odd widths, pieces, rows of nobody, rows kept on the host."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, SIZES, cupy, examples, gpu, home, kernel_module, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import assert_close

import milk_np.kernels.reference as reference

pytestmark = pytest.mark.gpu

seeds = st.integers(0, 2**32 - 1)
ITEMS = 60


def virtual_table(rng, width, raw_dtype):
    raw = rng.standard_normal((ITEMS, width)).astype(raw_dtype)
    fill = rng.standard_normal((3, width)).astype(np.float32)
    source = np.arange(ITEMS, dtype=np.int32)
    missing = rng.random(ITEMS) < 0.3
    source[missing] = ~rng.integers(0, 3, missing.sum()).astype(np.int32)
    return raw, fill, source, rng.random(ITEMS).astype(np.float32)


def run(kernels, place, table, rows, W, b, g):
    """c, dW, db and x of some rows."""
    n, K = g.shape
    W, b, g, rows = map(place, (W, b, g, rows))
    c, dW, db, x = (place(np.full(shape, np.nan, W.dtype)) for shape in ((n, K), W.shape, K, (n, len(W))))
    cache = kernels.extract(*table, rows, W, b, c)
    kernels.extract_backward(*table, rows, g, dW, db, cache)
    return c, dW, db, kernels.gather(*table, rows, x)


def host_rows(table):
    """The table on the device, its raw rows left on the host."""
    from milk_np.kernels.gpu.streaming import HostRows

    return HostRows(table[0]), *map(put, table[1:])


@pytest.mark.parametrize("raw_dtype", [np.float16, np.float32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@examples(12)
@given(
    seed=seeds,
    n=st.sampled_from([*SIZES[:-1], 97]),
    width=st.sampled_from([1, 6, 31, 32, 97, 516]),
    K=st.sampled_from([1, 3, 33, 64]),
    order=st.sampled_from(ORDERS),
)
def test_extract(raw_dtype, dtype, seed, n, width, K, order):
    rng = np.random.default_rng(seed)
    table = virtual_table(rng, width, raw_dtype)
    rows = rng.integers(0, ITEMS, n).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(dtype) for shape in ((width, K), (K,), (n, K)))
    plain = run(reference, np.asarray, table, rows, W, b, g)
    for mine in (tuple(map(put, table)), host_rows(table)):
        with thread_order(order):
            for a, e in zip(run(gpu, put, mine, rows, W, b, g), plain, strict=True):
                assert_close(home(a), e, dtype, terms=max(width, n))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_in_pieces(dtype, monkeypatch):
    """More rows than are kept are gathered piece by piece, twice, and streamed in parts of their own."""
    monkeypatch.setattr(kernel_module("extract"), "GATHERED_BYTES", 3000)
    monkeypatch.setattr(kernel_module("streaming"), "STAGED_BYTES", 1000)
    rng = np.random.default_rng(0)
    table = virtual_table(rng, 40, np.float16)
    rows = rng.integers(0, ITEMS, 101).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(dtype) for shape in ((40, 8), (8,), (101, 8)))
    plain = run(reference, np.asarray, table, rows, W, b, g)
    for mine in (tuple(map(put, table)), host_rows(table)):
        for a, e in zip(run(gpu, put, mine, rows, W, b, g), plain, strict=True):
            assert_close(home(a), e, dtype, terms=101)


def test_rows_are_gathered_once_if_they_fit():
    table = tuple(map(put, virtual_table(np.random.default_rng(0), 40, np.float32)))
    rows, W, b, c = put(np.arange(7, dtype=np.int32)), cupy.ones((40, 4)), cupy.ones(4), cupy.empty((7, 4))
    cache = gpu.extract(*table, rows, W, b, c)
    assert cache.shape == (7, 40)


@pytest.mark.parametrize("place", [lambda table: tuple(map(put, table)), host_rows], ids=["device", "host"])
def test_rows_of_nobody_are_finite_and_add_nothing(place):
    rng = np.random.default_rng(1)
    table = virtual_table(rng, 12, np.float32)
    rows = np.array([3, 5, 59, -1, -1], np.int32)
    W, b, g = (rng.standard_normal(shape) for shape in ((12, 4), (4,), (5, 4)))
    g[3:] = 0
    c, dW, db, x = map(home, run(gpu, put, place(table), rows, W, b, g))
    plain = run(reference, np.asarray, table, rows[:3], W, b, g[:3])
    for a, e in zip((c[:3], dW, db, x[:3]), plain, strict=True):
        assert_close(a, e, np.float64)
    assert np.isfinite(c).all()
    assert (x[3:] == 0).all()


def test_no_rows_give_no_gradient():
    table = tuple(map(put, virtual_table(np.random.default_rng(0), 5, np.float32)))
    c, dW, db, x = run(gpu, put, table, np.zeros(0, np.int32), np.ones((5, 4)), np.ones(4), np.zeros((0, 4)))
    assert c.shape == (0, 4)
    assert x.shape == (0, 5)
    assert (home(dW) == 0).all()
    assert (home(db) == 0).all()


def test_gather_widens_every_half_precision_number():
    """All finite float16 numbers, subnormal ones and both zeros included, come out exactly."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 8)
    n = len(halves)
    rows = put(np.arange(n, dtype=np.int32))
    out = gpu.gather(put(halves), cupy.empty((0, 8), np.float32), rows, cupy.ones(n, np.float32), rows,
                     cupy.empty((n, 8), np.float32))  # fmt: skip
    np.testing.assert_array_equal(home(out).view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_views_that_start_anywhere():
    """A view off the 16-byte boundary takes a kernel with narrower access."""
    rng = np.random.default_rng(2)
    table = virtual_table(rng, 8, np.float32)
    raw = cupy.empty(table[0].size + 1, np.float32)[1:].reshape(table[0].shape)
    raw[...] = put(table[0])
    rows = np.arange(20, dtype=np.int32)
    mine = gpu.gather(raw, *map(put, table[1:]), put(rows), cupy.empty((20, 8), np.float32))
    plain = reference.gather(*table, rows, np.empty((20, 8), np.float32))
    np.testing.assert_array_equal(home(mine), plain)
