"""Every Numba kernel against its NumPy reference, on random shapes and types, odd sizes and repeated ids."""

from __future__ import annotations

import inspect

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close, batches

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference
from milk_np.kernels.cpu.products import task_bounds

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**64 - 1)


def parameters(function):
    return list(inspect.signature(getattr(function, "py_func", function)).parameters)


@pytest.mark.parametrize("name", cpu.__all__)
def test_same_arguments_as_the_reference(name):
    assert parameters(getattr(cpu, name)) == parameters(getattr(reference, name))


def test_offers_every_kernel_of_the_reference():
    assert set(cpu.__all__) == set(reference.__all__) - {"Groups"}


@quick
@given(key=seeds, n=st.integers(1, 3000))
def test_shuffle(key, n):
    order = cpu.shuffle(key, 0, n, n)
    np.testing.assert_array_equal(order, reference.shuffle(key, 0, n, n))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_shuffle_sends_every_element_everywhere():
    """Each of 7 elements stands at each of 7 places about equally often over 7,000 keys (chi-square, 36 degrees)."""
    n, draws = 7, 7000
    count = np.zeros((n, n))
    for key in range(draws):
        count[np.arange(n), cpu.shuffle(key, 0, n, n)] += 1
    assert ((count - draws / n) ** 2 / (draws / n)).sum() < 100


def training_pairs(seed, U, n_items, density):
    """Random pairs of the draw_batch arguments; every user is left at least one free candidate."""
    rng = np.random.default_rng(seed)
    candidates = np.sort(rng.choice(3 * n_items, n_items, replace=False)).astype(np.int32)
    owned = rng.random((U, n_items)) < density
    owned[:, rng.integers(0, n_items)] = False
    user, rank = np.nonzero(owned)
    indptr = np.concatenate([[0], np.cumsum(owned.sum(1))])
    return user.astype(np.int32), candidates[rank], indptr, rank.astype(np.int32), candidates, owned


@quick
@given(
    key=seeds,
    seed=seeds,
    U=st.integers(1, 30),
    n_items=st.integers(2, 60) | st.just(600),  # lists of own items short and long: each has its own search
    density=st.sampled_from([0.1, 0.6, 1.0]),
    pool_size=st.sampled_from([0, 1, 7, 60]),
)
def test_draw_batch(key, seed, U, n_items, density, pool_size):
    user, item, indptr, ranks, candidates, owned = training_pairs(seed % 2**32, U, n_items, density)
    count = len(user)
    if not count:
        return
    pool = reference.shuffle(key ^ 1, 0, min(pool_size, n_items), n_items)
    arguments = (key, seed, 0, count, user, item, indptr, ranks, candidates, pool)
    users, items = cpu.draw_batch(*arguments)
    for mine, plain in zip((users, items), reference.draw_batch(*arguments), strict=True):
        np.testing.assert_array_equal(mine, plain)
    rank = np.searchsorted(candidates, items)
    assert owned[users, rank[:count]].all(), "a positive is a training pair"
    assert not owned[users, rank[count:]].any(), "a negative is none"
    if pool_size:
        outside = ~np.isin(rank[count:], pool)
        mostly_free = (~owned[:, pool]).sum(axis=1) > len(pool) // 2
        assert not outside[mostly_free[users]].any(), "with half of the pool free, 32 tries find a member"
    halves = [cpu.draw_batch(key, seed, a, b - a, *arguments[4:]) for a, b in ((0, count // 2), (count // 2, count))]
    np.testing.assert_array_equal(np.concatenate([h[0] for h in halves]), users)


@pytest.mark.parametrize("pool_size", [0, 2, 5])
def test_negatives_are_uniform(pool_size):
    """One user owning 3 of 10 candidates: the other 7 are drawn equally often (chi-square, 6 degrees of freedom).

    Draws that share a pool are correlated, which widens the statistic up to three times.
    """
    own = np.array([2, 3, 9], np.int32)
    table = (np.zeros(3, np.int32), own, np.array([0, 3]), own, np.arange(10, dtype=np.int32))
    count = np.zeros(10)
    for key in range(20_000):
        _, items = cpu.draw_batch(1, key, 0, 3, *table, cpu.shuffle(key, 0, pool_size, 10))
        np.add.at(count, items[3:], 1)
    assert not count[own].any()
    free = np.delete(count, own)
    assert ((free - 60_000 / 7) ** 2 / (60_000 / 7)).sum() < (60 if pool_size else 30)


@quick
@given(seed=seeds, T=st.sampled_from([1, 31, 32, 33, 1025]), size=st.sampled_from([1, 7, 5000]))
def test_group(seed, T, size):
    ids = np.random.default_rng(seed).integers(0, size, T).astype(np.int32)
    table = np.full(size, -1, np.int32)
    mine, plain = cpu.group(ids, table), reference.group(ids, table)
    for a, b in zip(mine, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (table == -1).all()
    np.testing.assert_array_equal(mine.unique[mine.slot], ids)


def virtual_table(rng, n_items, width, raw_dtype):
    raw = rng.standard_normal((n_items, width)).astype(raw_dtype)
    fill = rng.standard_normal((3, width)).astype(np.float32)
    source = np.arange(n_items, dtype=np.int32)
    missing = rng.random(n_items) < 0.3
    source[missing] = ~rng.integers(0, 3, missing.sum()).astype(np.int32)
    return raw, fill, source, rng.random(n_items).astype(np.float32)


@pytest.mark.parametrize("raw_dtype", [np.float16, np.float32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    n=st.sampled_from([0, 1, 5, 6, 7, 95, 97, 257, 700]),
    width=st.sampled_from([1, 5, 6, 7, 31, 97, 513, 1030]),
    K=st.sampled_from([1, 3, 8, 15, 16, 17, 64, 65, 80, 100, 256]),
)
def test_extract(raw_dtype, dtype, seed, n, width, K):
    rng = np.random.default_rng(seed)
    table = virtual_table(rng, 300, width, raw_dtype)
    rows = rng.integers(0, 300, n).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(dtype) for shape in ((width, K), (K,), (n, K)))
    results = []
    for kernels in (cpu, reference):
        c, dW, db = (
            np.full((n, K), np.nan, dtype),
            np.full((width, K), np.nan, dtype),
            np.full(K, np.nan, dtype),
        )
        kernels.extract(*table, rows, W, b, c)
        kernels.extract_backward(*table, rows, g, dW, db)
        x = kernels.gather(*table, rows, np.empty((n, width), dtype))
        results.append((c, dW, db, x))
    for mine, plain in zip(*results, strict=True):
        assert_close(mine, plain, dtype)


def test_gather_widens_every_half_precision_number():
    """All finite float16 numbers, subnormal ones and both zeros included, come out exactly."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][:, None]
    n = len(halves)
    out = cpu.gather(
        halves, np.empty((0, 1), np.float32), np.arange(n, dtype=np.int32), np.ones(n, np.float32),
        np.arange(n, dtype=np.int32), np.empty((n, 1), np.float32),
    )  # fmt: skip
    np.testing.assert_array_equal(out.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_extract_reads_read_only_and_memory_mapped_tables(tmp_path):
    rng = np.random.default_rng(0)
    raw, fill, source, scale = virtual_table(rng, 50, 70, np.float32)
    np.save(tmp_path / "raw.npy", raw)
    mapped = np.load(tmp_path / "raw.npy", mmap_mode="r")
    W, b, rows = (
        rng.standard_normal((70, 64)).astype(np.float32),
        np.zeros(64, np.float32),
        np.arange(50, dtype=np.int32),
    )
    mine, plain = np.empty((50, 64), np.float32), np.empty((50, 64), np.float32)
    cpu.extract(mapped, fill, source, scale, rows, W, b, mine)
    cpu.extract(raw, fill, source, scale, rows, W, b, plain)
    np.testing.assert_array_equal(mine, plain)


@quick
@given(batch=batches)
def test_margins(batch):
    results = []
    for kernels in (cpu, reference):
        s = np.empty_like(batch.ds)
        dP = np.empty((len(batch.by_user.unique), batch.P.shape[1]), batch.dtype)
        dc = np.empty_like(batch.c)
        kernels.margins(batch.P, batch.c, batch.users, batch.by_item.slot, s)
        kernels.margins_backward_users(batch.c, batch.by_item.slot, batch.ds, batch.by_user, dP)
        kernels.margins_backward_items(batch.P, batch.users, batch.ds, batch.by_item, dc)
        results.append((s, dP, dc))
    for mine, plain in zip(*results, strict=True):
        assert_close(mine, plain, batch.dtype, terms=len(batch.items))


@quick
@given(
    batch=batches,
    E=st.integers(1, 11),
    base=st.sampled_from([1.0, 0.25]),
    spread=st.sampled_from([1.0, 300.0]),
)
def test_risk(batch, E, base, spread):
    theta = batch.rng.dirichlet(np.ones(len(batch.c)), E).astype(batch.dtype)
    s = (batch.ds * spread).astype(batch.dtype)
    results = []
    for kernels in (cpu, reference):
        losses, ds = np.empty(E), np.empty_like(s)
        kernels.risk(s, theta, base, 50.0, losses, ds)
        results.append((losses, ds))
    for mine, plain in zip(*results, strict=True):
        assert np.isfinite(mine).all()
        assert_close(mine, plain, batch.dtype)


@quick
@given(batch=batches)
def test_penalties(batch):
    results = []
    for kernels in (cpu, reference):
        dP = np.ones((len(batch.by_user.unique), batch.P.shape[1]), batch.dtype)
        dc, terms = np.ones_like(batch.c), np.empty((2, 1))
        kernels.alignment(batch.c, batch.by_item.unique, batch.owned, batch.by_item.slot, 0.3, dc, terms[0])
        kernels.regulariser(batch.P, batch.c, batch.by_user, batch.by_item, 0.2, dP, dc, terms[1])
        results.append((terms, dP, dc))
    for mine, plain in zip(*results, strict=True):
        assert_close(mine, plain, batch.dtype)


@quick
@given(seed=seeds, size=st.sampled_from([1, 33, 5000]), dtype=st.sampled_from([np.float32, np.float64]))
def test_adam(seed, size, dtype):
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(size).astype(dtype)
    states = [[start.copy(), np.zeros(size, dtype), np.zeros(size, dtype)] for _ in range(2)]
    for step in range(1, 6):
        grad = rng.standard_normal(size).astype(dtype)
        for kernels, (p, m, v) in zip((cpu, reference), states, strict=True):
            kernels.adam(p, grad, m, v, 0.01, step)
    for mine, plain in zip(*states, strict=True):
        assert_close(mine, plain, dtype)


@given(
    size=st.integers(0, 5000),
    tile=st.sampled_from([6, 8, 24, 48]),
    tiles=st.integers(1, 40),
    threads=st.integers(1, numba.config.NUMBA_NUM_THREADS),
)
def test_tasks_of_the_products_cover_all_rows_and_are_shared_equally(size, tile, tiles, threads):
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        bounds = task_bounds(size, tile, tiles * tile)
    finally:
        numba.set_num_threads(before)
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, size)
    assert (bounds[:-1] % tile == 0).all()
    if size:
        assert sizes.min() > 0
        assert sizes.max() <= tiles * tile
        assert sizes.max() - sizes.min() < 2 * tile
        assert len(sizes) % threads == 0 or len(sizes) == -(-size // tile)


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(1)
    table = virtual_table(rng, 500, 1000, np.float32)
    rows = rng.integers(0, 500, 401).astype(np.int32)
    W, b, g = (rng.standard_normal(shape).astype(np.float32) for shape in ((1000, 64), (64,), (401, 64)))
    results, threads = [], numba.get_num_threads()
    for count in {1, threads}:
        numba.set_num_threads(count)
        c, dW, db = (
            np.empty((401, 64), np.float32),
            np.empty((1000, 64), np.float32),
            np.empty(64, np.float32),
        )
        cpu.extract(*table, rows, W, b, c)
        cpu.extract_backward(*table, rows, g, dW, db)
        results.append(b"".join(x.tobytes() for x in (c, dW, db)))
    numba.set_num_threads(threads)
    assert len(set(results)) == 1
