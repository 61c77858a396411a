"""Searches by bounds: the lists of a search by all scores bit for bit, whatever the vectors are like."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.kernels.cpu import prune, pruning, topk
from milk_np.kernels.cpu.byte_tile import BYTES, PAIRS, multiplies_bytes, row_scores
from milk_np.kernels.cpu.inputs import Rows, exclusions, fixed, some_rows
from milk_np.kernels.cpu.order import PARTS, WIDE, column_order, parts_of
from milk_np.kernels.cpu.quantise import HEAD, Bytes, quantise, rounding
from milk_np.kernels.reference import topk as reference

needs_bytes = pytest.mark.skipif(not BYTES, reason="this processor has no products of bytes: nothing is pruned")
Floats = NDArray[np.float32]


def real(rng: np.random.Generator, n: int, K: int) -> Floats:
    """As models have them: the first numbers are the largest, and lengths differ."""
    rows = rng.standard_normal((n, K)) * np.geomspace(1, 0.05, K) * rng.lognormal(0, 0.5, (n, 1))
    return rows.astype(np.float32)


def normal(rng: np.random.Generator, n: int, K: int) -> Floats:
    return rng.standard_normal((n, K), dtype=np.float32)


def whole(rng: np.random.Generator, n: int, K: int) -> Floats:
    """Products are exact and many scores tie."""
    return rng.integers(-1, 2, (n, K)).astype(np.float32)


def copies(rng: np.random.Generator, n: int, K: int) -> Floats:
    """Few different vectors."""
    return normal(rng, 5, K)[rng.integers(0, 5, n)]


def sparse(rng: np.random.Generator, n: int, K: int) -> Floats:
    """Nearly all zeros, and one enormous number: bounds say nothing."""
    rows = np.where(rng.random((n, K)) < 0.02, rng.standard_normal((n, K)), 0)
    rows[np.arange(n), rng.integers(0, K, n)] *= 1e6
    return rows.astype(np.float32)


def tiny(rng: np.random.Generator, n: int, K: int) -> Floats:
    """Numbers whose products are no longer floats, and zeros."""
    return (normal(rng, n, K) * rng.choice([0, 1e-38, 1e-25, 1e-19, 1e-9], (n, 1))).astype(np.float32)


KINDS = {f.__name__: f for f in (real, normal, whole, copies, sparse, tiny)}


def some_exclusions(rng: np.random.Generator, Q: int, N: int) -> Rows:
    rows = [np.flatnonzero(rng.random(N) < rng.random() ** 3) for _ in range(Q)]
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return exclusions(Q, indptr, np.concatenate([*rows, np.zeros(0, int)]).astype(np.int32))


def by_bounds(queries: Floats, items: Floats, k: int, rows: Rows, parts: int = 1) -> tuple[Any, Any]:
    """Lists by bounds, though they may not pay, the items in some parts."""
    lists = np.full((len(queries), k), -1, np.int32), np.full((len(queries), k), -np.inf, np.float32)
    size = -(-len(items) // prune.COLUMNS // parts) * prune.COLUMNS
    for start in range(0, len(items), max(size, prune.COLUMNS)):
        part = Bytes(fixed(items[start : start + max(size, prune.COLUMNS)], np.float32))
        assert part.whole
        prune.offer(fixed(queries, np.float32), fixed(items, np.float32), part, start, rows, *lists)
    return lists


def same(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1].view(np.int32), expected[1].view(np.int32))


def dense(queries: Floats, items: Floats, k: int, rows: Rows) -> tuple[Any, Any]:
    return topk._searched(fixed(queries, np.float32), items, k, rows)


@needs_bytes
@settings(max_examples=60, deadline=None)
@given(
    kinds=st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS))),
    Q=st.integers(1, 70),
    N=st.integers(1, 400),
    K=st.sampled_from([512, 513, 530, 543, 1024]),
    k=st.integers(1, 60),
    parts=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_the_lists_are_those_of_all_scores(
    kinds: tuple[str, str], Q: int, N: int, K: int, k: int, parts: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, items = KINDS[kinds[0]](rng, Q, K), KINDS[kinds[1]](rng, N, K)
    rows = some_exclusions(rng, Q, N) if seed % 2 else exclusions(Q, None, None)
    same(by_bounds(queries, items, k, rows, parts), dense(queries, items, k, rows))


@needs_bytes
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_items_in_several_chunks(kind: str) -> None:
    rng = np.random.default_rng(1)
    queries, items = KINDS[kind](rng, 40, 512), KINDS[kind](rng, 2 * prune._CHUNK + 77, 512)
    rows = some_exclusions(rng, len(queries), len(items))
    for k in (1, 20, pruning.MOST):
        same(by_bounds(queries, items, k, rows), dense(queries, items, k, rows))


@needs_bytes
def test_against_the_reference() -> None:
    """Whole numbers: the specification gives the same to the last bit."""
    rng = np.random.default_rng(2)
    queries, items = whole(rng, 70, 600), whole(rng, 900, 600)
    rows = some_exclusions(rng, 70, 900)
    same(by_bounds(queries, items, 20, rows), reference.top_k(queries, items, 20, *rows))
    same(topk.top_k(queries, items, 20, *rows), reference.top_k(queries, items, 20, *rows))


@needs_bytes
def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    queries, items = real(rng, 200, 512), real(rng, 700, 512)
    rows, before = exclusions(200, None, None), numba.get_num_threads()
    expected = by_bounds(queries, items, 20, rows)
    try:
        numba.set_num_threads(1)
        same(by_bounds(queries, items, 20, rows), expected)
    finally:
        numba.set_num_threads(before)


@needs_bytes
@pytest.mark.parametrize("kind", ["real", "normal"])
def test_few_scores_are_made(kind: str) -> None:
    """What it is for: of 2,000 scores a query less than a twelfth."""
    rng = np.random.default_rng(4)
    queries, items = KINDS[kind](rng, 64, 1024), KINDS[kind](rng, 2000, 1024)
    lists = np.full((64, 20), -1, np.int32), np.full((64, 20), -np.inf, np.float32)
    made = prune.offer(
        fixed(queries, np.float32), fixed(items, np.float32), Bytes(items), 0, exclusions(64, None, None), *lists
    )
    assert 64 * 20 <= made < 64 * 2000 / 12


@needs_bytes
@pytest.mark.parametrize(("kind", "expected"), [("real", True), ("normal", True), ("sparse", False), ("copies", False)])
def test_whether_it_pays_is_counted(kind: str, expected: bool) -> None:
    rng = np.random.default_rng(5)
    queries, items = KINDS[kind](rng, 80, 1024), KINDS[kind](rng, 1500, 1024)
    assert pruning.pays(fixed(queries, np.float32), fixed(items, np.float32), 20) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e18])
@pytest.mark.parametrize("whose", ["query", "item", "both", "all queries"])
def test_numbers_that_have_no_bytes(value: float, whose: str) -> None:
    rng = np.random.default_rng(6)
    queries, items = real(rng, 70, 512), real(rng, 400, 512)
    if whose in ("query", "both"):
        queries[9, 300] = queries[64, 2] = value
    if whose == "all queries":
        queries[:, 7] = value
    if whose in ("item", "both"):
        items[17, 5] = value
    rows = some_exclusions(rng, 70, 400)
    same(topk.top_k(queries, items, 20, *rows), dense(queries, items, 20, rows))


@pytest.mark.parametrize(
    ("Q", "N", "K", "k"), [(63, 400, 512, 9), (70, 100, 512, 9), (70, 400, 511, 9), (70, 400, 512, 101)]
)
def test_small_searches_make_all_scores(Q: int, N: int, K: int, k: int) -> None:
    assert not pruning.may_pay(Q, N, K, k)
    assert pruning.may_pay(64, 400, 512, 9) == BYTES


# The parts


@pytest.mark.parametrize("width", [0, 1, 64, 511, 512, 520, 543, 1024])
def test_chains_cover_all_numbers(width: int) -> None:
    order = column_order(width)
    assert sorted(order.tolist()) == list(range(width))
    assert parts_of(width) == (PARTS if width >= WIDE else 1)
    if width >= WIDE:
        assert (np.diff(order) == PARTS).sum() == width - PARTS


@numba.njit
def _four(queries: Floats, row: int, items: Floats, chosen: Any, out: Floats) -> None:
    row_scores(queries, row, items, chosen, 0, out)


@pytest.mark.parametrize("width", [512, 513, 519, 527, 528, 1024])
def test_one_score_has_the_bits_of_a_tile(width: int) -> None:
    rng = np.random.default_rng(width)
    queries, items = normal(rng, 3, width), normal(rng, 90, width)
    place, score = dense(queries, items, 90, exclusions(3, None, None))
    for q in range(3):
        for first in range(0, 88, PAIRS):
            chosen, out = np.zeros(3 * PAIRS, np.int64), np.zeros(PAIRS, np.float32)
            chosen[:PAIRS] = place[q, first : first + PAIRS]
            _four(queries, q, items, chosen, out)
            np.testing.assert_array_equal(out.view(np.int32), score[q, first : first + PAIRS].view(np.int32))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), K=st.integers(HEAD + 1, 90), seed=st.integers(0, 999))
def test_bytes_and_what_they_lose(kind: str, K: int, seed: int) -> None:
    row = KINDS[kind](np.random.default_rng(seed), 1, K)[0]
    q, bounds = np.zeros(K - HEAD, np.int8), np.zeros(5, np.float32)
    total = quantise(row, np.empty(K - HEAD, np.float32), q, bounds)
    scale, near, lost, tail, length = bounds.astype(np.float64)
    t = row[HEAD:].astype(np.float64)
    assert scale > 0
    assert total == q.astype(int).sum()
    assert np.abs(q.astype(int)).max(initial=0) <= 127
    for bound, true in ((near, scale * q), (lost, t - scale * q), (tail, t), (length, row.astype(np.float64))):
        rounded = 1e-6 * np.linalg.norm(t)  # in float32: `rounding` covers it
        assert np.linalg.norm(true) - rounded <= bound <= 1.01 * np.linalg.norm(true) + rounded + 2e-20


@needs_bytes
@settings(max_examples=60, deadline=None)
@given(kinds=st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS))), seed=st.integers(0, 999))
def test_no_score_is_above_its_bound(kinds: tuple[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, items = fixed(KINDS[kinds[0]](rng, 9, 530), np.float32), fixed(KINDS[kinds[1]](rng, 50, 530), np.float32)
    part, index = Bytes(items), np.full((9, 1), -1, np.int32)
    x, heads, offsets, by_row, _ = prune._pack_block(queries, 0, 9, part.panels.shape[1], index, rounding(530))
    bounds = np.zeros((len(offsets), part.scales.size), np.float32)
    prune._bound(x, heads, offsets, by_row, part.panels, part.heads, part.scales, 0, len(part.panels), bounds)
    place, score = dense(queries, items, 50, exclusions(9, None, None))
    for q in range(9):
        assert (bounds[q, place[q]] >= score[q]).all()


def test_rows_of_exclusions() -> None:
    rows = np.array([0, 2, 2, 5], np.int64), np.arange(5, dtype=np.int32)
    indptr, entries = some_rows(rows, np.array([2, 0, 1]))
    assert indptr.tolist() == [0, 3, 5, 5]
    assert entries.tolist() == [2, 3, 4, 0, 1]


def test_other_processors_have_no_products_of_bytes() -> None:
    triple = "x86_64-unknown-linux-gnu"
    assert not multiplies_bytes(triple, "x86-64", "")
    assert not multiplies_bytes("aarch64-unknown-linux-gnu", "generic", "")
