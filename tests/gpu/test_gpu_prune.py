"""Lists of wide vectors by bounds on the device: the bits of a search by all scores, whatever the vectors are."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, cupy, examples, gpu, home, kernel_module, orders_of_threads, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from test_gpu_topk import exclusions, whole

from milk_np.kernels.reference import top_k as plain

pytestmark = pytest.mark.gpu

prune, topk = kernel_module("prune"), kernel_module("topk")


def vectors(rng, n, K, kind="steep"):
    """Rows whose first numbers say most, as those of balanced axes; or all alike; or small whole numbers, which tie.

    Of "spiked" ones one number is enormous.
    """
    if kind == "whole":
        return whole(rng, n, K)
    fall = 1 / np.arange(1, K + 1) if kind == "steep" else np.ones(K)
    rows = (rng.standard_normal((n, K)) * fall).astype(np.float32)
    if kind == "spiked":
        rows[:, 0] = 1e3
    return rows


def empty_lists(Q, k):
    return cupy.full((Q, k), -1, np.int32), cupy.full((Q, k), -np.inf, np.float32)


def both(queries, items, k, indptr=None, exclude=None, order=0):
    """Lists by bounds and by all scores, and how many scores bounds left."""
    queries, items, Q = put(queries), put(items), len(queries)
    rows = (
        put(np.zeros(Q + 1, np.int64) if indptr is None else indptr),
        put(np.zeros(0, np.int32) if exclude is None else exclude),
    )
    found, expected, made = empty_lists(Q, k), empty_lists(Q, k), []
    with pytest.MonkeyPatch.context() as patch, thread_order(order):
        original = prune._bounded
        patch.setattr(prune, "_bounded", lambda *args: made.append(original(*args)) or made[-1])
        prune.fill(queries, items, *rows, *found, topk.by_all)
    topk.by_all(queries, items, *rows, *expected)
    return [home(x) for x in found], [home(x) for x in expected], made[0]


def agree(*arguments, **options):
    found, expected, made = both(*arguments, **options)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    return found, made


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["steep", "even", "whole"])
@pytest.mark.parametrize(
    ("Q", "N", "K", "k"), [(3, 200, 64, 5), (130, 129, 67, 20), (1, 1, 256, 1), (2, 300, 300, 128)]
)
def test_the_bits_of_a_search_by_all_scores(Q, N, K, k, kind, order):
    rng = np.random.default_rng([Q, N])
    queries, items = vectors(rng, Q, K, kind), vectors(rng, N, K, kind)
    agree(queries, items, k, order=order)
    agree(queries, items, k, *exclusions(rng, Q, N), order=order)


@examples(25)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 400), st.integers(1, 140), st.integers(1, 40)),
    kind=st.sampled_from(["steep", "even", "whole", "spiked"]),
    budget=st.sampled_from([1 << 28, 4 * 128 * 128, 4 * 128 * 256]),
    order=orders_of_threads,
)
def test_any_sizes_and_spans(seed, sizes, kind, budget, order):
    """Items in several spans, too, each of which begins with what the ones before found."""
    (Q, N, K, k), rng = sizes, np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune, "MOST_BYTES", budget)
        agree(vectors(rng, Q, K, kind), vectors(rng, N, K, kind), k, *exclusions(rng, Q, N), order=order)


def test_against_the_reference():
    rng = np.random.default_rng(0)
    queries, items = whole(rng, 20, 70), whole(rng, 333, 70)
    for a, b in zip(agree(queries, items, 9)[0], plain(queries, items, 9), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["steep", "even"])
def test_no_score_is_above_its_bound(kind):
    rng = np.random.default_rng(3)
    queries, items = vectors(rng, 40, 300, kind) * np.float32(1e3), vectors(rng, 200, 300, kind)
    queries[3], items[7], items[8] = 0, 0, queries[0]
    items[9] = 0
    items[9, 5] = 1e9
    bounds = home(prune.bounds_of(*map(prune.quantised, (put(queries), put(items))), 40, 200, 300))
    exact = queries.astype(np.float64) @ items.T.astype(np.float64)
    assert (bounds >= exact).all()
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(items, axis=1)
    assert (bounds - exact <= 0.12 * lengths + 1e-6).all()


def test_bounds_hold_where_rounding_points_the_same_way():
    """One side is whole in bytes, the other loses the same number everywhere: nothing of its bound may be left out."""
    whole, lossy = np.full((1, 300), 127, np.float32), np.full((1, 300), 0.49, np.float32)
    lossy[0, 0] = 127
    for query, item in ((whole, lossy), (lossy, whole)):
        bound = home(prune.bounds_of(*map(prune.quantised, (put(query), put(item))), 1, 1, 300))[0, 0]
        assert bound >= 127 * 127 + 299 * 127 * 0.49


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize("K", [1, 63, 64, 131])
def test_rows_in_bytes(K, order):
    """Bytes, and the lengths of what they keep and lose, from their definition."""
    x = np.random.default_rng(K).standard_normal((130, K)).astype(np.float32)
    x[4], x[5] = 0, np.float32(1e-25)
    with thread_order(order):
        found = prune.quantised(put(x))
    bytes_, sizes = home(found.bytes).view(np.int8), home(found.sizes).astype(np.float64)
    scale = np.where(np.abs(x).max(axis=1) > 1e-20, np.abs(x).max(axis=1) / 127, 1)
    kept = bytes_[:130, :K] * sizes[:130, :1]
    np.testing.assert_allclose(sizes[:130, 0], scale, rtol=1e-6)
    assert np.abs(x - kept).max() <= 0.51 * scale.max()
    assert not bytes_[:130, K:].any()
    assert not bytes_[130:].any()
    for column, part in ((1, kept), (2, x - kept), (3, x)):
        length = np.linalg.norm(part, axis=1)
        assert (sizes[:130, column] >= length).all()
        assert (sizes[:130, column] <= 1.002 * length + 1e-6).all()
    assert not home(found.beyond)[0]


def test_numbers_that_bytes_cannot_hold():
    """Queries are searched for by all scores one by one, for such items everything is."""
    rng = np.random.default_rng(1)
    queries, items = vectors(rng, 30, 64), vectors(rng, 200, 64)
    queries[3, 5], queries[9, 0], queries[20, 1] = np.nan, np.inf, 1e20
    _, made = agree(queries, items, 7, *exclusions(rng, 30, 200))
    assert made is not None
    items[17, 3] = -np.inf
    _, made = agree(queries, items, 7)
    assert made is None


def test_more_items_than_there_is_room_for(monkeypatch):
    """Bounds of equal items are equal: all of them stay."""
    queries, items = np.ones((3, 64), np.float32), np.ones((2300, 64), np.float32)
    queries[1] = 0
    agree(queries, items, 5)


def test_most_items_are_left_out():
    rng = np.random.default_rng(2)
    _, made = agree(vectors(rng, 30, 256), vectors(rng, 1500, 256), 10)
    assert 30 * 10 <= int(made[0]) < 30 * 200


def test_fewer_items_than_a_list_has_places():
    rng = np.random.default_rng(5)
    found, _ = agree(vectors(rng, 4, 64), vectors(rng, 9, 64), 20)
    assert (found[0][:, 9:] == -1).all()
    everything = np.arange(0, 40, 9)[:5].astype(np.int64), np.tile(np.arange(9, dtype=np.int32), 4)
    found, _ = agree(vectors(rng, 4, 64), vectors(rng, 9, 64), 3, *everything)
    assert (found[0] == -1).all()


# Whether it pays


@pytest.fixture
def small(monkeypatch):
    """Thresholds that a small case is above."""
    for name, value in (
        ("NARROW", 32),
        ("LEAST_ITEMS", 100),
        ("LEAST_QUERIES", 20),
        ("SAMPLE_ITEMS", 300),
        ("QUERY", 1.0),
    ):
        monkeypatch.setattr(prune, name, value)
    monkeypatch.setattr(prune, "TABLE", 15.0)
    taken = []
    monkeypatch.setattr(prune, "fill", lambda *args, original=prune.fill: taken.append(1) or original(*args))
    return taken


@pytest.mark.parametrize(("kind", "pays"), [("steep", True), ("even", True), ("spiked", False)])
def test_bounds_are_used_where_they_pay(small, kind, pays):
    rng = np.random.default_rng(4)
    queries, items = vectors(rng, 40, 128, kind), vectors(rng, 1200, 128, kind)
    index, score = map(home, gpu.top_k(queries, items, 5))
    assert bool(small) == pays
    expected = empty_lists(40, 5)
    topk.by_all(put(queries), put(items), put(np.zeros(41, np.int64)), put(np.zeros(0, np.int32)), *expected)
    np.testing.assert_array_equal(index, home(expected[0]))
    np.testing.assert_array_equal(score, home(expected[1]))


def test_a_device_that_makes_other_lists_is_not_trusted(small):
    rng = np.random.default_rng(4)
    queries, items = put(vectors(rng, 40, 128)), put(vectors(rng, 1200, 128))
    assert prune.pays(queries, items, 5, topk.by_all)

    def other(*arguments):
        topk.by_all(*arguments)
        arguments[-2][3, 0] += 1

    assert not prune.pays(queries, items, 5, other)


def test_bounds_that_leave_more_than_a_block_has_room_for_do_not_pay(small, monkeypatch):
    """A sample has fewer items than a span: every query would be lost there, and searched for twice."""
    rng = np.random.default_rng(4)
    queries, items = put(vectors(rng, 40, 128)), put(vectors(rng, 1200, 128))
    assert prune.pays(queries, items, 5, topk.by_all)
    monkeypatch.setattr(prune, "ROOM", 0)
    assert not prune.pays(queries, items, 5, topk.by_all)


@pytest.mark.parametrize("units", [True, False])
def test_a_device_without_matrix_units_takes_longer_for_a_bound(small, monkeypatch, units):
    rng = np.random.default_rng(4)
    queries, items = put(vectors(rng, 40, 128)), put(vectors(rng, 1200, 128))
    monkeypatch.setattr(prune, "matrix_units", lambda: units)
    monkeypatch.setattr(prune, "FOURS", 10.0)
    assert prune.pays(queries, items, 5, topk.by_all) == units


def test_sizes_alone_may_say_no():
    assert prune.may_pay(10**4, 10**5, 1024, 20)
    for sizes in ((10, 10**5, 1024, 20), (10**4, 100, 1024, 20), (10**4, 10**5, 64, 20), (10**4, 10**5, 1024, 500)):
        assert not prune.may_pay(*sizes)
    assert prune.cost(0.002, 10**5, 1024) < prune.WORTH < prune.cost(0.03, 10**5, 1024)
