"""Rows of feature tables and products with them: types, odd widths, spans, rows of nobody, rows kept on the host."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, SIZES, Guarded, cupy, examples, gpu, home, kernel_module, put, thread_order
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


@examples(40)
@given(
    data=st.data(), seed=seeds, M=st.integers(1, 10), order=st.sampled_from(ORDERS), blocks=st.sampled_from([1, 7, 60])
)
def test_all_modalities_in_one_launch(data, seed, M, order, blocks):
    """Odd shapes and both types, padding at the end, few blocks and many: right, and the same bits in any order."""
    rng, products = np.random.default_rng(seed), kernel_module("products")
    n, padding, K = (data.draw(st.sampled_from(of)) for of in ([1, 15, 128, 700], [0, 3, 130], [1, 17, 64, 100]))
    tables = [
        virtual_table(rng, data.draw(st.sampled_from([1, 6, 97, 520])), data.draw(st.sampled_from(["f2", "f4"])))
        for _ in range(M)
    ]
    rows = np.append(rng.integers(0, ITEMS, n), np.full(padding, -1)).astype(np.int32)
    W = [rng.standard_normal((table[0].shape[1], K)).astype(np.float32) for table in tables]
    b, g = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((M, n + padding, K)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "multiprocessors", lambda: 1)
        patch.setattr(products, "BLOCKS", blocks)
        first = run_all(tables, rows, W, b, g, order)
        again = run_all(tables, rows, W, b, g, order + 1)
    for m, table in enumerate(tables):
        plain = run(reference, np.asarray, table, rows[:n], W[m], b[m], g[m, :n])
        assert_close(first[0][m, :n], plain[0], np.float32, terms=len(W[m]))
        np.testing.assert_array_equal(first[0][m, n:], np.broadcast_to(b[m], (padding, K)))
        assert_close(first[1][m], plain[1], np.float32, terms=n)
        assert_close(first[2][m], plain[2], np.float32, terms=n)
        for mine, same in zip(
            (first[0][m], first[1][m], first[2][m]), (again[0][m], again[1][m], again[2][m]), strict=True
        ):
            np.testing.assert_array_equal(mine, same)


def run_all(tables, rows, W, b, g, order):
    """c, dW and db of all modalities, and nothing written beside them."""
    c, dW = Guarded(g.shape, np.float32), [Guarded(w.shape, np.float32) for w in W]
    db = [Guarded(b.shape[1], np.float32) for _ in W]
    tables, rows, W, b, g = [tuple(map(put, table)) for table in tables], put(rows), list(map(put, W)), put(b), put(g)
    with thread_order(order):
        caches = gpu.extract_all(tables, rows, W, list(b), c.array)
        assert caches == [None] * len(W), "nothing is kept where nothing was gathered"
        gpu.extract_all_backward(tables, rows, g, [x.array for x in dW], [x.array for x in db], caches)
    return c.home(), [x.home() for x in dW], [x.home() for x in db]


def test_a_gradient_of_rows_of_nobody_is_never_read():
    """Whatever stands there: the padding of a batch is not worth clearing."""
    rng = np.random.default_rng(3)
    table, rows = virtual_table(rng, 20, np.float32), np.append(rng.integers(0, ITEMS, 30), [-1] * 40).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(np.float32) for shape in ((20, 5), (5,), (70, 5)))
    g[30:] = np.nan
    _, dW, db, _ = run(gpu, put, tuple(map(put, table)), rows, W, b, g)
    plain = run(reference, np.asarray, table, rows[:30], W, b, g[:30])
    assert_close(home(dW), plain[1], np.float32, terms=30)
    assert_close(home(db), plain[2], np.float32, terms=30)


def test_rows_without_a_raw_number_are_read_from_fill():
    """A table that owns no raw row at all."""
    fill = np.arange(12, dtype=np.float32).reshape(2, 6)
    table = np.zeros((0, 6), np.float32), fill, np.array([-1, -2], np.int32), np.ones(2, np.float32)
    rows, W = np.array([1, 0, 1], np.int32), np.eye(6, dtype=np.float32)
    c, dW, _, _ = run(gpu, put, tuple(map(put, table)), rows, W, np.zeros(6, np.float32), np.ones((3, 6), np.float32))
    np.testing.assert_array_equal(home(c), fill[[1, 0, 1]])
    np.testing.assert_array_equal(home(dW), np.repeat((2 * fill[1] + fill[0])[:, None], 6, axis=1))


@pytest.mark.parametrize("products", ["rows", "cublas"])
def test_either_program_multiplies(products, monkeypatch):
    monkeypatch.setattr(kernel_module("extract"), "PRODUCTS", products)
    rng = np.random.default_rng(4)
    table, rows = virtual_table(rng, 33, np.float16), rng.integers(0, ITEMS, 150).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(np.float32) for shape in ((33, 9), (9,), (150, 9)))
    device = tuple(map(put, table))
    for mine, plain in zip(
        run(gpu, put, device, rows, W, b, g), run(reference, np.asarray, table, rows, W, b, g), strict=True
    ):
        assert_close(home(mine), plain, np.float32, terms=150)
    cache = gpu.extract_all([device], put(rows), [put(W)], [put(b)], cupy.empty((1, 150, 9), np.float32))[0]
    assert (cache is None) == (products == "rows")


@examples(8)
@given(
    seed=seeds, n=st.sampled_from([1, 130, 700]), padding=st.sampled_from([1, 300]), blocks=st.sampled_from([1, 5, 30])
)
def test_padding_changes_no_bit(seed, n, padding, blocks):
    """Where a batch ends in its slots is nothing to the rows before."""
    rng, products = np.random.default_rng(seed), kernel_module("products")
    table, rows = virtual_table(rng, 520, np.float32), rng.integers(0, ITEMS, n).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(np.float32) for shape in ((520, 64), (1, 64), (1, n + padding, 64)))
    padded = np.append(rows, np.full(padding, -1, np.int32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "multiprocessors", lambda: 1)
        patch.setattr(products, "BLOCKS", blocks)
        short = run_all([table], rows, [W], b, g[:, :n], 0)
        long = run_all([table], padded, [W], b, g, 1)
    np.testing.assert_array_equal(short[0][0], long[0][0, :n])
    np.testing.assert_array_equal(short[1][0], long[1][0])
    np.testing.assert_array_equal(short[2][0], long[2][0])


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [0, 200])
def test_no_rows_give_no_gradient(dtype, padding):
    table, rows = virtual_table(np.random.default_rng(0), 5, np.float32), np.full(padding, -1, np.int32)
    W, b, g = np.ones((5, 4), dtype), np.ones(4, dtype), np.zeros((padding, 4), dtype)
    c, dW, db, x = run(gpu, put, tuple(map(put, table)), rows, W, b, g)
    assert c.shape == (padding, 4)
    assert (home(c) == 1).all()
    assert x.shape == (padding, 5)
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
