"""The kernels of sampled candidates against their references, and what must hold of the draws."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference

quick = settings(max_examples=40, deadline=None)
DTYPES = st.sampled_from([np.float32, np.float64])


def dots(kernels, seed, B, N, n, K, dtype, order="C"):
    """Scores and both gradients of random rows, a third of the slots empty."""
    rng = np.random.default_rng(seed)
    slots = np.where(rng.random((B, N)) < 0.7, rng.integers(0, max(n, 1), (B, N)), -1).astype(np.int32)
    slots[:] = slots if n else -1
    query, table, dout = (rng.standard_normal(shape).astype(dtype, order=order) for shape in ((B, K), (n, K), (B, N)))
    out, dquery, dtable = (np.full(x.shape, np.nan, dtype) for x in (dout, query, table))
    for x in (query, table, dout, slots):
        x.setflags(write=False)
    kernels.candidate_dots(query, table, slots, out)
    kernels.candidate_dots_backward(dout, query, table, slots, dquery, dtable)
    return out, dquery, dtable


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([0, 1, 17, 70]),
    N=st.sampled_from([0, 1, 9]),
    n=st.sampled_from([0, 1, 40]),
    K=st.sampled_from([1, 3, 64]),
    dtype=DTYPES,
    order=st.sampled_from("CF"),
)
def test_dots_are_those_of_the_reference(seed, B, N, n, K, dtype, order):
    case = (seed, B, N, n, K, dtype, order)
    for mine, theirs in zip(dots(cpu, *case), dots(reference, *case), strict=True):
        assert_close(mine, theirs, dtype, terms=max(K, N * B))


def test_dots_have_the_same_bits_on_any_number_of_threads():
    found, before = [], numba.get_num_threads()
    for threads in {1, before}:
        numba.set_num_threads(threads)
        found.append(b"".join(x.tobytes() for x in dots(cpu, 1, 300, 50, 90, 64, np.float32)))
    numba.set_num_threads(before)
    assert len(set(found)) == 1


def histories(seed, U, C, share):
    """Own positions of every user, some of whom own all or nothing."""
    rng = np.random.default_rng(seed)
    own = rng.random((U, C)) < share
    own[0], own[-1] = True, False
    indptr = np.concatenate([[0], np.cumsum(own.sum(axis=1))])
    return own, indptr, np.nonzero(own)[1].astype(np.int32)


def draw(kernels, key, rows, users, indptr, ranks, candidates, N):
    out = np.full((len(users), N), 7, np.int32)
    kernels.draw_distinct(key, rows, users, indptr, ranks, candidates, out)
    return out


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([0, 1, 60]),
    C=st.sampled_from([1, 2, 37]),
    N=st.sampled_from([0, 1, 5, 50]),
    share=st.sampled_from([0.1, 0.9]),
)
def test_draws_are_those_of_the_reference_and_free_and_distinct(seed, B, C, N, share):
    rng = np.random.default_rng(seed)
    own, indptr, ranks = histories(seed, 6, C, share)
    candidates = np.sort(rng.permutation(2 * C)[:C]).astype(np.int32)
    rows, users = rng.integers(0, 1000, B), rng.integers(0, 6, B).astype(np.int32)
    case = (seed, rows, users, indptr, ranks, candidates, N)
    found = draw(cpu, *case)
    np.testing.assert_array_equal(found, draw(reference, *case))
    for user, row in zip(users, found, strict=True):
        drawn, free = row[row >= 0], candidates[~own[user]]
        assert len(drawn) == len(set(drawn.tolist())) == min(N, len(free))
        assert set(drawn.tolist()) <= set(free.tolist())


@pytest.mark.parametrize("place", [0, 2])
def test_each_place_is_uniform_over_what_is_free(place):
    own, indptr, ranks = histories(3, 3, 11, 0.4)
    rows = np.arange(20_000)
    found = draw(cpu, 5, rows, np.full(len(rows), 1, np.int32), indptr, ranks, np.arange(11, dtype=np.int32), 4)
    counts, n = np.bincount(found[:, place], minlength=11)[~own[1]], (~own[1]).sum()
    expected = len(rows) / n
    assert ((counts - expected) ** 2 / expected).sum() < n + 6 * (2 * n) ** 0.5


def test_a_row_does_not_depend_on_the_others():
    _, indptr, ranks = histories(3, 3, 40, 0.4)
    rows, users = np.array([3, 9, 4]), np.array([1, 1, 2], np.int32)
    candidates = np.arange(40, dtype=np.int32)
    whole = draw(cpu, 5, rows, users, indptr, ranks, candidates, 6)
    np.testing.assert_array_equal(draw(cpu, 5, rows[1:2], users[1:2], indptr, ranks, candidates, 6), whole[1:2])
    assert (draw(cpu, 6, rows, users, indptr, ranks, candidates, 6) != whole).any()
