"""The search without a table of scores: shapes, spans, blocks of queries and of items, cuts, exclusions, infinities."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, cupy, examples, gpu, home, kernel_module, thread_order
from hypothesis import given
from hypothesis import strategies as st

from milk_np.kernels.reference import top_k as plain

pytestmark = pytest.mark.gpu

module = kernel_module("search")
SHAPES = {
    "128 x 128, held": module.HELD,
    "64 x 128, held": module.SMALL,
    "128 x 128, shallow": module.SHALLOW,
    "128 x 128": module.WIDE,
    "128 x 128, lean": module.LEAN,
    "64 x 64, deep": module.Shape(2, 2, 8, 1, 16, 2, 4, False),
    "32 x 128, held": module.Shape(2, 1, 16, 2, 32, 2, 4, True),
    "128 x 128, wide threads": module.Shape(2, 2, 4, 4, 8, 3, 2, False),
}


def found(queries, items, k, pair=None, order=0, **options):
    """What a search with this plan finds."""
    (Q, K), N = queries.shape, len(items)
    index, score = cupy.full((Q, k), -1, np.int32), cupy.full((Q, k), -np.inf, np.float32)
    indptr, exclude = pair or (np.zeros(Q + 1, np.int64), np.zeros(0, np.int32))
    plan = module.plan(Q, N, K, k, **options)
    with thread_order(order):
        module.search(*map(cupy.asarray, (queries, items, indptr, exclude)), index, score, plan)
    return home(index), home(score)


def same(mine, expected):
    for a, b in zip(mine, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def exclusions(rng, Q, N, share):
    rows = [np.flatnonzero(rng.random(N) < share) for _ in range(Q)]
    return np.cumsum([0, *map(len, rows)], dtype=np.int64), np.concatenate([*rows, np.zeros(0, int)]).astype(np.int32)


@given(
    Q=st.integers(1, 200),
    N=st.integers(1, 700),
    K=st.integers(0, 21),
    k=st.integers(1, 80),
    levels=st.integers(0, 3),
    share=st.sampled_from((0.0, 0.1, 0.9, 1.0)),
    splits=st.integers(0, 4),
    waiting=st.sampled_from((0, 1)),
    shape=st.sampled_from(sorted(SHAPES)),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 99),
)
@examples(60)
def test_any_sizes(Q, N, K, k, levels, share, splits, waiting, shape, order, seed):
    """Small whole numbers: products are exact and many scores tie, all of them at level 0."""
    rng = np.random.default_rng(seed)
    queries, items = (rng.integers(-levels, levels + 1, (n, K)).astype(np.float32) for n in (Q, N))
    pair = exclusions(rng, Q, N, share)
    options = {"shape": SHAPES[shape], "splits": splits, "waiting": waiting}
    same(found(queries, items, k, pair, order, **options), plain(queries, items, k, *pair))


@pytest.mark.parametrize("k", [1, 20, 32, 33, 255, 256])
def test_scores_that_only_grow_fill_every_buffer(k):
    items = np.arange(2000, dtype=np.float32)[:, None]
    queries = np.array([[1.0], [-1.0], [0.0]], np.float32)
    for splits in (1, 3):
        same(found(queries, items, k, splits=splits), plain(queries, items, k))


def test_infinities_and_nan():
    rng = np.random.default_rng(0)
    items = rng.choice(np.array([np.inf, -np.inf, np.nan, 1, -1, 0], np.float32), (900, 1))
    queries = np.array([[1.0], [-1.0], [np.inf], [0.0], [np.nan]], np.float32)
    for k in (3, 250):
        with np.errstate(invalid="ignore"):
            expected = plain(queries, items, k)
        same(found(queries, items, k, splits=2), expected)


@pytest.mark.parametrize("bytes_", [1, 40_000, 150_000])
def test_blocks_of_queries_and_of_items_leave_no_trace(monkeypatch, bytes_):
    """Real numbers, where the order of summation shows."""
    rng = np.random.default_rng(3)
    queries, items = (rng.standard_normal((n, 35), dtype=np.float32) for n in (300, 1000))
    pair = exclusions(rng, 300, 1000, 0.2)
    expected = found(queries, items, 20, pair)
    monkeypatch.setattr(module, "MOST_BYTES", bytes_)
    chosen = module.plan(300, 1000, 35, 20)
    assert chosen.rows < 300 or chosen.items < 1000
    same(found(queries, items, 20, pair), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_that_take_several_units(monkeypatch, order):
    rng = np.random.default_rng(5)
    queries, items = (rng.integers(-3, 4, (n, 5)).astype(np.float32) for n in (200, 300))
    pair = exclusions(rng, 200, 300, 0.3)
    monkeypatch.setattr(module, "multiprocessors", lambda: 1)
    module._blocks.cache_clear()
    mine = found(queries, items, 20, pair, order, shape=SHAPES["64 x 64, deep"], splits=4)
    module._blocks.cache_clear()
    same(mine, plain(queries, items, 20, *pair))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_bits_are_those_of_the_table_of_scores(monkeypatch, shape):
    rng = np.random.default_rng(4)
    queries, items = (rng.standard_normal((n, 67), dtype=np.float32) for n in (130, 300))
    mine = found(queries, items, 30, shape=shape, splits=2)
    monkeypatch.setattr(module, "MOST_K", 0)
    same(mine, tuple(map(home, gpu.top_k(queries, items, 30))))


def test_plans_fill_a_device(monkeypatch):
    monkeypatch.setattr(module, "multiprocessors", lambda: 132)
    monkeypatch.setattr(module, "shared_bytes", lambda: 228 << 10)
    assert module.plan(100_000, 100_000, 64, 20).shape == module.HELD
    assert module.plan(100_000, 100_000, 1024, 20).shape == module.WIDE
    assert module.plan(19_445, 1_410, 64, 20).shape == module.SMALL
    assert module.plan(10_000_000, 1_000, 64, 20).splits == 1
    for Q, N, K in ((128, 1_000_000, 64), (100_000, 100_000, 1024), (19_445, 1_410, 64), (5, 1, 8), (1, 5_000, 3)):
        chosen = module.plan(Q, N, K, 20)
        assert 1 <= chosen.splits <= -(-N // chosen.shape.tile_n)
    assert module.plan(128, 1_000_000, 64, 20).splits > 100


@pytest.mark.parametrize("bytes_", [0, 64 << 10, 100 << 10, 228 << 10])
def test_a_shape_fits_a_multiprocessor(monkeypatch, bytes_):
    monkeypatch.setattr(module, "shared_bytes", lambda: bytes_)
    for K in (1, 64, 70, 128, 500):
        chosen = module.plan(100, 1000, K, 20)
        if chosen.shape != module.LEAN:
            assert chosen.shape.resident * (chosen.shape.shared(chosen.depth) + module.OWN_BYTES) <= bytes_
    monkeypatch.setattr(module, "shared_bytes", lambda: 100 << 10)
    assert module.plan(100_000, 1000, 64, 20).shape == module.SHALLOW
    assert module.plan(100_000, 1000, 128, 20).shape == module.LEAN
