"""Every CUDA kernel against its NumPy reference: random shapes, types, orders of threads, odd sizes, rows of nobody."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from gpu_cases import ORDERS, SIZES, DeviceBatch, Guarded, cupy, examples, gpu, home, put, split, thread_order
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import assert_close, batches

import milk_np.kernels.reference as reference

pytestmark = pytest.mark.gpu

some = examples(25)
seeds = st.integers(0, 2**64 - 1)
orders = st.sampled_from(ORDERS)
real_types = st.sampled_from([np.float32, np.float64])
HOST_ONLY = {"als", "candidates", "contrast", "descent", "masking", "matmul", "normalise", "shared", "sparse"}
FAMILIES = {name: getattr(reference, name).__module__.rpartition(".")[2] for name in reference.__all__}
KERNELS = [name for name, family in FAMILIES.items() if name != "Groups" and family not in HOST_ONLY]


@pytest.mark.parametrize("name", KERNELS)
def test_same_arguments_as_the_reference(name):
    assert list(inspect.signature(getattr(gpu, name)).parameters) == list(
        inspect.signature(getattr(reference, name)).parameters
    )


def test_offers_every_kernel_of_the_reference_and_no_other():
    assert set(gpu.__all__) == set(KERNELS)


@some
@given(key=seeds, n=st.integers(1, 3000), order=orders)
def test_shuffle(key, n, order):
    with thread_order(order):
        np.testing.assert_array_equal(home(gpu.shuffle(key, 0, n, n)), reference.shuffle(key, 0, n, n))


def training_pairs(rng, U, n_items, density):
    """Pairs and what else `draw_batch` takes of them; every user is left at least one free candidate."""
    candidates = np.sort(rng.choice(3 * n_items, n_items, replace=False)).astype(np.int32)
    owned = rng.random((U, n_items)) < density
    owned[:, rng.integers(0, n_items)] = False
    user, rank = np.nonzero(owned)
    indptr = np.concatenate([[0], np.cumsum(owned.sum(1))])
    return user.astype(np.int32), candidates[rank], indptr, rank.astype(np.int32), candidates


@some
@given(
    key=seeds,
    seed=seeds,
    U=st.integers(1, 30),
    n_items=st.integers(2, 60),
    density=st.sampled_from([0.1, 0.6, 1.0]),
    pool=st.sampled_from([0, 1, 20]),
    order=orders,
)
def test_draw_batch(key, seed, U, n_items, density, pool, order):
    rng = np.random.default_rng(seed)
    pairs = training_pairs(rng, U, n_items, density)
    members = rng.integers(0, n_items, pool)
    count = len(pairs[0])
    first = count // 3
    arguments = (key, seed, first, count - first)
    with thread_order(order):
        found = gpu.draw_batch(*arguments, *map(put, pairs), put(members))
    for mine, plain in zip(found, reference.draw_batch(*arguments, *pairs, members), strict=True):
        assert home(mine).dtype == np.int32
        np.testing.assert_array_equal(home(mine), plain)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("T", [0, *SIZES, 4096, 9001])
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_group(T, size, order):
    ids = np.random.default_rng([T, size]).integers(0, size, T).astype(np.int32)
    table = cupy.full(size, -1, np.int32)
    with thread_order(order):
        mine = gpu.group(put(ids), table)
    plain = reference.group(ids, np.full(size, -1, np.int32))
    n = len(plain.unique)
    assert (home(table) == -1).all()
    assert len(mine.unique) == min(T, size)
    for name in ("unique", "start", "slot", "order"):
        expected = getattr(plain, name)
        np.testing.assert_array_equal(home(getattr(mine, name))[: len(expected)], expected, err_msg=name)
    assert (home(mine.unique)[n:] == -1).all()
    assert (home(mine.start)[n:] == T).all()


@some
@given(batch=batches, order=orders)
def test_margins(batch, order):
    device = DeviceBatch.of(batch)
    (M, B), K = batch.ds.shape, batch.P.shape[1]
    mine, plain = Guarded((M, B), batch.dtype), np.empty((M, B), batch.dtype)
    with thread_order(order):
        gpu.margins(device.P, device.c, device.users, device.by_item.slot, mine.array)
    reference.margins(batch.P, batch.c, batch.users, batch.by_item.slot, plain)
    assert_close(mine.home(), plain, batch.dtype, terms=K)


@some
@given(batch=batches, order=orders)
def test_margins_backward(batch, order):
    device = DeviceBatch.of(batch)
    n_users, (M, n, K) = len(batch.by_user.unique), batch.c.shape
    dP, dc = np.empty((n_users, K), batch.dtype), np.empty_like(batch.c)
    reference.margins_backward_users(batch.c, batch.by_item.slot, batch.ds, batch.by_user, dP)
    reference.margins_backward_items(batch.P, batch.users, batch.ds, batch.by_item, dc)
    users = Guarded((len(device.by_user.unique), K), batch.dtype)
    items = Guarded(device.c.shape, batch.dtype)
    with thread_order(order):
        gpu.margins_backward_users(device.c, device.by_item.slot, device.ds, device.by_user, users.array)
        gpu.margins_backward_items(device.P, device.users, device.ds, device.by_item, items.array)
    for mine, plain, count, axis in ((users, dP, n_users, 0), (items, dc, n, 1)):
        somebody, nobody = split(mine.home(), count, axis)
        assert_close(somebody, plain, batch.dtype, terms=len(batch.items) * M)
        assert (nobody == 0).all()


@some
@given(
    batch=batches,
    E=st.integers(1, 11),
    base=st.sampled_from([1.0, 0.25]),
    spread=st.sampled_from([1.0, 300.0]),
    order=orders,
)
def test_risk(batch, E, base, spread, order):
    theta = batch.rng.dirichlet(np.ones(len(batch.c)), E).astype(batch.dtype)
    s = (batch.ds * spread).astype(batch.dtype)
    losses, ds = np.empty(E), np.empty_like(s)
    reference.risk(s, theta, base, 50.0, losses, ds)
    for _ in range(2):  # the second call finds what the first left behind
        mine = Guarded(E, np.float64), Guarded(s.shape, batch.dtype)
        with thread_order(order):
            gpu.risk(put(s), put(theta), base, 50.0, *(each.array for each in mine))
        assert_close(mine[0].home(), losses, batch.dtype)
        assert_close(mine[1].home(), ds, batch.dtype)


@some
@given(batch=batches, order=orders)
def test_penalties(batch, order):
    device = DeviceBatch.of(batch)
    n_users, (_, n, K) = len(batch.by_user.unique), batch.c.shape
    dP, dc, terms = np.ones((n_users, K), batch.dtype), np.ones_like(batch.c), np.empty((2, 1))
    reference.alignment(batch.c, batch.by_item.unique, batch.owned, batch.by_item.slot, 0.3, dc, terms[0])
    reference.regulariser(batch.P, batch.c, batch.by_user, batch.by_item, 0.2, dP, dc, terms[1])
    for _ in range(2):
        users = Guarded((len(device.by_user.unique), K), batch.dtype)
        items, shown = Guarded(device.c.shape, batch.dtype), Guarded((2, 1), np.float64)
        users.array[...] = items.array[...] = 1
        with thread_order(order):
            rows, slot, by_item = device.by_item.unique, device.by_item.slot, device.by_item
            gpu.alignment(device.c, rows, device.owned, slot, 0.3, items.array, shown.array[0])
            gpu.regulariser(device.P, device.c, device.by_user, by_item, 0.2, users.array, items.array, shown.array[1])
        assert_close(shown.home(), terms, batch.dtype)
        for mine, plain, count, axis in ((users, dP, n_users, 0), (items, dc, n, 1)):
            somebody, nobody = split(mine.home(), count, axis)
            assert_close(somebody, plain, batch.dtype)
            assert (nobody == 1).all()


@some
@given(seed=seeds, size=st.sampled_from([0, *SIZES, 5000]), offset=st.integers(0, 3), dtype=real_types, order=orders)
def test_adam(seed, size, offset, dtype, order):
    """On a part of larger arrays, so that what is written beside it shows."""
    rng = np.random.default_rng(seed)
    part = slice(offset, offset + size)
    start = rng.standard_normal(size + offset + 7).astype(dtype)
    states = [[start.copy(), np.zeros_like(start), np.zeros_like(start)] for _ in range(2)]
    device = [put(x) for x in states[1]]
    for step in range(1, 6):
        grad = rng.standard_normal(len(start)).astype(dtype)
        reference.adam(states[0][0][part], grad[part], *(x[part] for x in states[0][1:]), 0.01, step)
        with thread_order(order):
            gpu.adam(device[0][part], put(grad)[part], *(x[part] for x in device[1:]), 0.01, step)
    for mine, plain in zip(device, states[0], strict=True):
        assert_close(home(mine), plain, dtype)


def with_nobody(rng, rows):
    """`rows` with some -1 between and behind them, and the places where the rows stand."""
    places = np.sort(rng.choice(len(rows) + 3, len(rows), replace=False))
    out = np.full(len(rows) + 3, -1, np.int32)
    out[places] = rows
    return out, places


@some
@given(seed=seeds, K=st.sampled_from([1, 5, 31, 64, 65, 130]), dtype=real_types, order=orders)
def test_adam_rows_and_catching_up(seed, K, dtype, order):
    """Rows touched now and then, with long pauses, against the reference; rows that nobody touches stay as they are."""
    rng = np.random.default_rng(seed)
    U, steps = 9, 120
    p = rng.standard_normal((U, K)).astype(dtype) * dtype(0.1)
    plain = [p, np.zeros_like(p), np.zeros_like(p), np.zeros(U, np.int64)]
    mine = [put(x) for x in plain]
    for step in range(1, steps + 1):
        rows = np.flatnonzero(rng.random(U) < (0.6 if step < 4 else 0.02)).astype(np.int32)
        grad = (rng.standard_normal((len(rows), K)) * 10.0 ** rng.integers(-6, 2)).astype(dtype)
        if not len(rows) and step < steps:
            continue
        reference.adam_catch_up(*plain, rows, 0.01, step - 1)
        reference.adam_rows(plain[0], grad, *plain[1:], rows, 0.01, step)
        padded, places = with_nobody(rng, rows)
        wide = np.full((len(padded), K), np.nan, dtype)
        wide[places] = grad
        with thread_order(order):
            gpu.adam_catch_up(*mine, put(padded), 0.01, step - 1)
            gpu.adam_rows(mine[0], put(wide), *mine[1:], put(padded), 0.01, step)
    every = np.arange(U, dtype=np.int32)
    reference.adam_catch_up(*plain, every, 0.01, steps)
    gpu.adam_catch_up(*mine, put(every), 0.01, steps)
    np.testing.assert_array_equal(home(mine[3]), plain[3])
    for a, b in zip(mine[:3], plain[:3], strict=True):
        assert_close(home(a), b, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pause", [1, 31, 32, 33, 64, 300, 900])
def test_moments_go_on_decaying_after_a_row_stands_still(pause, dtype):
    """Far beyond the step at which no number of a row moves any more; compared digit by digit, for they get tiny."""
    rng = np.random.default_rng(pause)
    p = rng.standard_normal((3, 70)).astype(dtype)
    plain = [p, p * dtype(0.01), p * p * dtype(0.01), np.array([0, 5, 40], np.int64)]
    mine, rows = [put(x) for x in plain], np.arange(3, dtype=np.int32)
    for kernels, state, place in ((reference, plain, np.asarray), (gpu, mine, put)):
        kernels.adam_catch_up(*state, place(rows), 0.001, 40 + pause)
    for a, b in zip(mine, plain, strict=True):
        np.testing.assert_allclose(home(a), b, rtol=1e-4 if dtype == np.float32 else 1e-10, atol=1e-37)
