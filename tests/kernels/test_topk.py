"""The top-k kernels against their specification: order, ties, exclusions, odd sizes, no trace of tiling."""

from __future__ import annotations

import inspect

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.kernels.cpu import topk as cpu
from milk_np.kernels.reference import topk as reference

SIZES = (1, 31, 32, 33, 1025)
KERNELS = pytest.mark.parametrize("top_k", [reference.top_k, cpu.top_k], ids=["reference", "cpu"])


def whole(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Small whole numbers: products are exact, so kernels must agree to the last bit, and many scores tie."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def exclusions(rng: np.random.Generator, Q: int, N: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    rows = [np.flatnonzero(rng.random(N) < rng.random()) for _ in range(Q)]
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return indptr, np.concatenate([*rows, np.zeros(0, int)]).astype(np.int32)


def slow(queries: NDArray[np.float32], items: NDArray[np.float32], k: int, banned: list[set[int]]) -> list[list[int]]:
    """Sort all items of each query in plain Python."""
    lists = []
    for query, out in zip(queries, banned, strict=True):
        scores = [float(np.dot(query.astype(np.float64), item)) for item in items]
        order = sorted((j for j in range(len(items)) if j not in out), key=lambda j: (-scores[j], j))
        lists.append((order + [-1] * k)[:k])
    return lists


def test_same_signature() -> None:
    assert inspect.signature(reference.top_k) == inspect.signature(cpu.top_k)


@KERNELS
def test_against_sorting_in_python(top_k: object) -> None:
    rng = np.random.default_rng(3)
    queries, items = whole(rng, 7, 5), whole(rng, 40, 5)
    indptr, exclude = exclusions(rng, 7, 40)
    banned = [set(exclude[indptr[q] : indptr[q + 1]].tolist()) for q in range(7)]
    index, score = top_k(queries, items, 25, indptr, exclude)  # type: ignore[operator]
    assert index.tolist() == slow(queries, items, 25, banned)
    for q, row in enumerate(index):
        kept = row[row >= 0]
        np.testing.assert_array_equal(score[q, : len(kept)], items[kept] @ queries[q])
        assert np.all(np.isneginf(score[q, len(kept) :]))


@pytest.mark.parametrize("Q", SIZES)
@pytest.mark.parametrize("N", SIZES)
def test_sizes(Q: int, N: int) -> None:
    rng = np.random.default_rng([Q, N])
    queries, items = whole(rng, Q, 9), whole(rng, N, 9)
    indptr, exclude = exclusions(rng, Q, N)
    for k in (1, 20, 33):
        agree(cpu.top_k(queries, items, k), reference.top_k(queries, items, k))
        agree(cpu.top_k(queries, items, k, indptr, exclude), reference.top_k(queries, items, k, indptr, exclude))


@pytest.mark.parametrize("K", [0, *SIZES])
def test_widths(K: int) -> None:
    rng = np.random.default_rng(K)
    queries, items = whole(rng, 13, K), whole(rng, 70, K)
    agree(cpu.top_k(queries, items, 10), reference.top_k(queries, items, 10))


@KERNELS
@pytest.mark.parametrize(("Q", "N", "k"), [(0, 5, 3), (4, 0, 3), (4, 5, 0), (0, 0, 0)])
def test_empty(top_k: object, Q: int, N: int, k: int) -> None:
    index, score = top_k(np.ones((Q, 3), np.float32), np.ones((N, 3), np.float32), k)  # type: ignore[operator]
    assert index.shape == score.shape == (Q, k)
    assert index.dtype == np.int32
    assert score.dtype == np.float32
    assert np.all(index == -1)


def test_more_items_than_one_chunk() -> None:
    rng = np.random.default_rng(5)
    queries, items = whole(rng, 9, 4), whole(rng, 2 * cpu._CHUNK + 7, 4)
    items[-1] = 100 * queries[0]
    agree(cpu.top_k(queries, items, 50), reference.top_k(queries, items, 50))


@settings(max_examples=60, deadline=None)
@given(
    N=st.integers(1, 500),
    k=st.integers(1, 80),
    chunk=st.integers(1, 4),
    spread=st.integers(0, 2),
    seed=st.integers(0, 999),
)
def test_many_chunks_and_many_ties(N: int, k: int, chunk: int, spread: int, seed: int) -> None:
    """Limits of one chunk, zeros of both signs among them, are the floor of the next one's cuts."""
    rng = np.random.default_rng(seed)
    items = rng.choice(np.array([0, 1e-30, -1e-30, *range(-spread, spread + 1)], np.float32), (N, 1))
    queries = np.array([[1.0], [-1.0], [1e-30], [0.0]], np.float32)
    pair = exclusions(rng, 4, N)
    whole_size = cpu._CHUNK
    try:
        cpu._CHUNK = chunk * cpu.COLUMNS
        agree(cpu.top_k(queries, items, k), reference.top_k(queries, items, k))
        agree(cpu.top_k(queries, items, k, *pair), reference.top_k(queries, items, k, *pair))
    finally:
        cpu._CHUNK = whole_size


def test_lists_too_long_to_be_sorted_by_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    queries, items = whole(rng, 6, 3), whole(rng, 700, 3)
    pair = exclusions(rng, 6, 700)
    monkeypatch.setattr(cpu, "_COUNTED", 10)
    monkeypatch.setattr(cpu, "_CHUNK", 5 * cpu.COLUMNS)
    for k in (11, 300, 900):
        agree(cpu.top_k(queries, items, k, *pair), reference.top_k(queries, items, k, *pair))


def test_scores_that_only_grow_or_only_fall() -> None:
    items = np.arange(3000, dtype=np.float32)[:, None]
    queries = np.array([[1.0], [-1.0], [0.0]], np.float32)
    index, _ = cpu.top_k(queries, items, 4)
    assert index.tolist() == [[2999, 2998, 2997, 2996], [0, 1, 2, 3], [0, 1, 2, 3]]


@KERNELS
def test_all_equal_lists_the_first(top_k: object) -> None:
    index, _ = top_k(np.ones((3, 2), np.float32), np.ones((99, 2), np.float32), 40)  # type: ignore[operator]
    np.testing.assert_array_equal(index, np.tile(np.arange(40), (3, 1)))


@KERNELS
def test_zeros_of_both_signs_tie(top_k: object) -> None:
    items = np.array([[-1.0], [-0.0], [0.0], [-0.0], [1.0]], np.float32)
    index, _ = top_k(np.ones((1, 1), np.float32), items, 5)  # type: ignore[operator]
    assert index.tolist() == [[4, 1, 2, 3, 0]]


@pytest.mark.parametrize("k", [1, 20, 200, 2000, 5000])
def test_long_runs_of_ties(k: int) -> None:
    """Far more equal scores than a buffer holds, where a cut has to choose among them."""
    rng = np.random.default_rng(k)
    queries, items = whole(rng, 5, 2), whole(rng, 3000, 2)
    pair = exclusions(rng, 5, 3000)
    agree(cpu.top_k(queries, items, k), reference.top_k(queries, items, k))
    agree(cpu.top_k(queries, items, k, *pair), reference.top_k(queries, items, k, *pair))


def test_long_runs_of_zeros_of_both_signs() -> None:
    """Products too small for float32 keep their sign: the zeros before a cut tie with those after it."""
    rng = np.random.default_rng(0)
    items = np.where(rng.random((2000, 1)) < 0.5, 1e-30, -1e-30).astype(np.float32)
    items[::50] = -1
    query = np.full((1, 1), 1e-30, np.float32)
    index, score = cpu.top_k(query, items, 300)
    np.testing.assert_array_equal(index[0], np.flatnonzero(items[:, 0] > -1)[:300])
    assert not score.any()
    if fused():  # else the product is rounded to -0 and added to 0, which gives 0
        assert 0 < np.signbit(score).sum() < 300


def fused() -> bool:
    """Whether multiply-adds are rounded once: a processor without FMA rounds a product to 0 here before it is added."""
    a = 1 + 2.0**-12
    query, item = np.array([[-1, a]], np.float32), np.array([[a * a, a]], np.float32)
    return bool(cpu.top_k(query, item, 1)[1].any())


@pytest.mark.parametrize("last", [np.inf, 3e38, 1e-45, -1e-45, -3e38])
def test_scores_at_the_ends_of_float32(last: float) -> None:
    items = np.full((500, 1), -np.inf, np.float32)
    items[::3] = last
    index, score = cpu.top_k(np.ones((1, 1), np.float32), items, 200)
    np.testing.assert_array_equal(index[0, :167], np.arange(0, 500, 3))
    np.testing.assert_array_equal(score[0, :167], np.float32(last))
    assert np.all(index[0, 167:] == -1)
    assert cpu.top_k(np.ones((1, 1), np.float32), items, 20)[0].tolist() == [list(range(0, 60, 3))]


@KERNELS
def test_nan_is_never_listed(top_k: object) -> None:
    items = np.array([[1.0], [np.nan], [3.0], [-np.inf], [np.inf]], np.float32)
    queries = np.array([[1.0], [np.nan]], np.float32)
    index, score = top_k(queries, items, 5)  # type: ignore[operator]
    assert index.tolist() == [[4, 2, 0, -1, -1], [-1] * 5]
    assert not np.isnan(score).any()


@KERNELS
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_layouts_and_dtypes(top_k: object, dtype: type) -> None:
    rng = np.random.default_rng(8)
    queries, items = whole(rng, 34, 6), whole(rng, 65, 6)
    indptr, exclude = exclusions(rng, 34, 65)
    expected = reference.top_k(queries, items, 12, indptr, exclude)
    strided = np.repeat(np.asfortranarray(queries.astype(dtype)), 2, axis=0)[::2]
    frozen = np.asfortranarray(items.astype(dtype))
    for array in (strided, frozen, indptr, exclude):
        array.flags.writeable = False
    agree(top_k(strided, frozen, 12, indptr, exclude), expected)  # type: ignore[operator]


def test_inputs_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    queries, items = whole(rng, 5, 3), whole(rng, 20, 3)
    copies = queries.copy(), items.copy()
    cpu.top_k(queries, items, 3)
    np.testing.assert_array_equal(queries, copies[0])
    np.testing.assert_array_equal(items, copies[1])


@settings(max_examples=40, deadline=None)
@given(
    Q=st.integers(1, 40),
    N=st.integers(1, 600),
    K=st.integers(1, 20),
    k=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_agrees_with_reference(Q: int, N: int, K: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, items = whole(rng, Q, K), whole(rng, N, K)
    pair = exclusions(rng, Q, N)
    agree(cpu.top_k(queries, items, k, *pair), reference.top_k(queries, items, k, *pair))


def test_bits_do_not_depend_on_threads_or_tiling() -> None:
    """Real numbers, where the order of summation shows: other thread counts, one query at a time."""
    rng = np.random.default_rng(2)
    queries = rng.standard_normal((301, 67), dtype=np.float32)
    items = rng.standard_normal((2003, 67), dtype=np.float32)
    indptr, exclude = exclusions(rng, 301, 2003)
    expected = cpu.top_k(queries, items, 20, indptr, exclude)
    before = numba.get_num_threads()
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            agree(cpu.top_k(queries, items, 20, indptr, exclude), expected)
    finally:
        numba.set_num_threads(before)
    for q in (0, 7, 150, 300):
        one = cpu.top_k(queries[q : q + 1], items, 20, indptr[q : q + 2] - indptr[q], exclude[indptr[q] :])
        agree(one, (expected[0][q : q + 1], expected[1][q : q + 1]))


def test_score_does_not_depend_on_the_other_items() -> None:
    rng = np.random.default_rng(4)
    queries = rng.standard_normal((10, 64), dtype=np.float32)
    items = rng.standard_normal((500, 64), dtype=np.float32)
    _, score = cpu.top_k(queries, items, 500)
    index, alone = cpu.top_k(queries, items[123:], 377)
    full = np.empty((10, 500), np.float32)
    np.put_along_axis(full, cpu.top_k(queries, items, 500)[0].astype(np.int64), score, axis=1)
    np.testing.assert_array_equal(np.take_along_axis(full, index.astype(np.int64) + 123, axis=1), alone)


def test_scores_are_close_to_exact_ones() -> None:
    rng = np.random.default_rng(6)
    queries = rng.standard_normal((20, 200), dtype=np.float32)
    items = rng.standard_normal((300, 200), dtype=np.float32)
    index, score = cpu.top_k(queries, items, 30)
    exact = np.einsum("qk,qjk->qj", queries.astype(np.float64), items[index].astype(np.float64))
    np.testing.assert_allclose(score, exact, rtol=0, atol=200 * 2**-24 * 200)


def agree(
    one: tuple[NDArray[np.int32], NDArray[np.float32]], other: tuple[NDArray[np.int32], NDArray[np.float32]]
) -> None:
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("cut", [1, 2, 5])
@pytest.mark.parametrize("Q", [1, 2, 9])
def test_items_that_are_packed_already(Q: int, cut: int) -> None:
    """Panels in parts, the last of which isn't full, give the lists of all items, to the last bit."""
    rng = np.random.default_rng(Q)
    queries, items = (rng.standard_normal((n, 13)).astype(np.float32) for n in (Q, 5 * cpu.COLUMNS + 7))
    indptr, exclude = exclusions(rng, Q, len(items))
    parts = [(cpu.packed(items[s : s + cut * cpu.COLUMNS]), s) for s in range(0, len(items), cut * cpu.COLUMNS)]
    expected = cpu.top_k(queries, items, 40, indptr, exclude)
    for got, wanted in zip(cpu.top_k_packed(queries, parts, len(items), 40, indptr, exclude), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
