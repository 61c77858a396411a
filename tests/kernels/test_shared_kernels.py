"""A rank's part of a batch: its own triplets, and some rows of a gradient, as the kernels of one process give them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.kernels import cpu, reference

KERNELS = [reference, cpu]


def pairs(rng: np.random.Generator, users: int, items: int) -> tuple[np.ndarray, ...]:
    """Pairs by user, offsets, and every user's items, of which nobody has all."""
    chosen = [np.sort(rng.permutation(items)[: rng.integers(0, items)]) for _ in range(users)]
    indptr = np.concatenate([[0], np.cumsum([len(c) for c in chosen])]).astype(np.int64)
    user = np.repeat(np.arange(users, dtype=np.int32), np.diff(indptr))
    return user, np.concatenate(chosen).astype(np.int32), indptr


@pytest.mark.parametrize("kernels", KERNELS)
@given(seed=st.integers(0, 2**32), users=st.integers(2, 12), pool=st.sampled_from([0, 3]))
@settings(max_examples=30, deadline=None)
def test_each_rank_draws_its_own_triplets_of_the_batch(kernels, seed: int, users: int, pool: int) -> None:
    rng = np.random.default_rng(seed)
    user, item, indptr = pairs(rng, users, 9)
    if not len(user):
        return
    candidates, members = np.arange(9, dtype=np.int32), rng.permutation(9)[:pool].astype(np.int64)
    table = (indptr, item, candidates, members)
    expected = cpu.draw_batch(5, 7, 0, len(user), user, item, *table)
    rows, cut = kernels.shuffle(5, 0, len(user), len(user)), int(rng.integers(0, users + 1))
    for low, high in ((0, cut), (cut, users)):
        first, last = int(indptr[low]), int(indptr[high])
        mine = np.flatnonzero((rows >= first) & (rows < last))
        own = (indptr[low : high + 1] - first, item[first:last], candidates, members)
        drawn = kernels.draw_shared(7, rows[mine], first, user[first:last] - np.int32(low), item[first:last], *own)
        np.testing.assert_array_equal(drawn[0] + low, expected[0][mine])
        np.testing.assert_array_equal(drawn[1], expected[1].reshape(2, -1)[:, mine].reshape(-1))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("cuts", [(0, 16, 48, 70), (0, 0, 70, 70), (0, 1, 69, 70)])
@pytest.mark.parametrize("n", [0, 1, 37])
def test_rows_of_a_gradient_have_the_bits_of_the_whole(kernels, dtype: type, cuts: tuple[int, ...], n: int) -> None:
    rng = np.random.default_rng(n)
    raw, fill = rng.standard_normal((50, 70)).astype(dtype), rng.standard_normal((3, 70)).astype(np.float32)
    source = rng.integers(-3, 50, 50).astype(np.int32)
    table = (raw, fill, source, rng.random(50).astype(np.float32))
    rows, dout = rng.integers(0, 50, n).astype(np.int32), rng.standard_normal((n, 24)).astype(np.float32)
    whole, parts, bias = np.empty((70, 24), np.float32), np.full((70, 24), np.nan, np.float32), np.empty(24, np.float32)
    kernels.extract_backward(*table, rows, dout, whole, bias)
    for low, high in pairwise(cuts):
        found = np.empty(24, np.float32)
        kernels.extract_backward_shared(*table, rows, dout, parts, found, low, high)
        np.testing.assert_array_equal(found, bias)
    if kernels is cpu:  # BLAS gives no promise of bits
        np.testing.assert_array_equal(parts, whole)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)
