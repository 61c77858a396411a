"""The kernels of users' profiles against their references, and what must hold of them."""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assert_close

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference

quick = settings(max_examples=40, deadline=None)


def make_lists(seed, B, U, n_items, K, M, dtype):
    """Triplets whose positives are in their users' histories; some histories hold nothing else."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, U, B).astype(np.int32)
    items = rng.integers(0, n_items, 2 * B).astype(np.int32)
    items[:B] = np.where(users % 3 == 0, users % n_items, items[:B])
    pairs = np.unique(np.stack([users, items[:B]]), axis=1)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs[0], minlength=U))])
    by_user = reference.group(users, np.full(U, -1, np.int32))
    owned = rng.random((n_items, M)) < 0.6
    owned[np.arange(n_items), rng.integers(0, M, n_items)] = True
    return SimpleNamespace(
        rng=rng, users=users, items=items, indptr=indptr, history=pairs[1], by_user=by_user, owned=owned, K=K, M=M,
        dtype=dtype,
    )  # fmt: skip


lists = st.builds(
    make_lists,
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([1, 2, 33, 257]),
    U=st.sampled_from([1, 5, 300]),
    n_items=st.sampled_from([1, 6, 400]),
    K=st.sampled_from([1, 3, 8, 64]),
    M=st.integers(1, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
)


def run(kernels, case):
    """Every result of the family, forward and backward, from the same random input."""
    rng, B, n_u = np.random.default_rng(case.rng.integers(1)), len(case.users), len(case.by_user.unique)
    table, items = np.full(len(case.owned), -1, np.int32), case.items
    own = case.indptr, case.history, case.by_user.unique, items
    by_item, lists = kernels.read_histories(*own, reference.group(items, table), table, len(case.owned))
    assert (table == -1).all()
    n = len(by_item.unique)
    draw = lambda *shape: rng.standard_normal(shape).astype(case.dtype)  # noqa: E731
    blank = lambda *shape: np.full(shape, np.nan, case.dtype)  # noqa: E731
    c, dc, dq, scale = draw(case.M, n, case.K), draw(case.M, n, case.K), draw(B, case.K), draw(1)
    h, total, unit, inverse, q = blank(n, case.K), blank(n_u, case.K), blank(B, case.K), blank(B), blank(B, case.K)
    left, dscale, dh = blank(B, case.K), blank(1), blank(n, case.K)
    kernels.owned_mean(c, by_item.unique, case.owned, h)
    kernels.sum_histories(h, lists, total)
    kernels.leave_one_out(total, h, case.by_user.slot, by_item.slot[:B], lists.lengths, scale, unit, inverse, q)
    kernels.leave_one_out_backward(dq, draw(B, case.K), draw(B), scale, left, dscale)
    by_origin = draw(B + n_u, case.K)
    kernels.histories_backward(by_origin, case.by_user, lists, dh)
    kernels.owned_mean_backward(dh, by_item.unique, case.owned, dc)
    return SimpleNamespace(
        lists=lists, by_item=by_item, scale=scale, c=c, floats=(h, total, dh, dc, by_origin),
        backward=(left, dscale), profile=(unit, inverse, q),
    )  # fmt: skip


@quick
@given(case=lists)
def test_equal_the_references(case):
    mine, plain = run(cpu, case), run(reference, case)
    for a, b in zip((*mine.by_item, *mine.lists), (*plain.by_item, *plain.lists), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.int32
    for a, b in zip((*mine.floats, *mine.backward), (*plain.floats, *plain.backward), strict=True):
        assert a.dtype == case.dtype
        assert_close(a, b, case.dtype, terms=len(mine.lists.slot) * case.K)
    well = plain.profile[1] < 10  # the rest of the sums nearly vanish, which leaves the direction to rounding
    for a, b in zip(mine.profile, plain.profile, strict=True):
        assert_close(a[well], b[well], case.dtype, terms=100 * len(mine.lists.slot) * case.K)


@quick
@given(seed=st.integers(0, 2**32 - 1), kernels=st.sampled_from([cpu, reference]))
def test_profiles_written_out(seed, kernels):
    """q_t from its definition, one triplet at a time, and the same length for everybody who has another item."""
    case = make_lists(seed, 40, 9, 12, 5, 3, np.float64)
    found = run(kernels, case)
    h = {}
    for row, item in enumerate(found.by_item.unique):
        h[item] = np.mean([found.c[m, row] for m in range(case.M) if case.owned[item, m]], axis=0)
    q = found.profile[2]
    for t, user in enumerate(case.users):
        own = case.history[case.indptr[user] : case.indptr[user + 1]]
        others = [h[item] for item in own if item != case.items[t]]
        v = np.sum(others, axis=0) if others else np.zeros(5)
        expected = np.exp(found.scale) * v / np.sqrt(v @ v + 1e-12)
        np.testing.assert_allclose(q[t], expected, atol=1e-8)


@quick
@given(case=lists)
def test_transposed_lists_are_the_transpose(case):
    """<sum of rows, y> = <x, sum by the transposed lists>: every item has its gradient from each user who owns it."""
    found, rng, B = run(cpu, case), np.random.default_rng(0), len(case.users)
    x, left = rng.standard_normal((len(found.by_item.unique), 3)), rng.standard_normal((B, 3))
    forward, backward = np.empty((len(case.by_user.unique), 3)), np.empty_like(x)
    cpu.sum_histories(x, found.lists, forward)
    by_origin = np.concatenate([left, np.empty_like(forward)])
    cpu.histories_backward(by_origin, case.by_user, found.lists, backward)
    others = forward[case.by_user.slot] - x[found.by_item.slot[:B]]
    assert -np.sum(others * left) == pytest.approx(np.sum(x * backward), rel=1e-9, abs=1e-9)


def test_an_index_of_minus_one_adds_nothing():
    for kernels in (cpu, reference):
        out = np.full((3, 2), np.nan)
        ends, index = np.array([0, 2, 2, 3], np.int32), np.array([1, -1, -1], np.int32)
        kernels.sum_rows(np.array([[np.nan, np.nan], [1.0, 2.0]]), ends, index, out)
        np.testing.assert_array_equal(out, [[1, 2], [0, 0], [0, 0]])


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_a_history_of_one_item_has_no_direction_to_pass_a_gradient_through(kernels):
    case = make_lists(0, 20, 6, 9, 4, 2, np.float64)
    unit, inverse, q = run(kernels, case).profile
    alone = np.diff(case.indptr)[case.users] == 1
    assert alone.any()
    assert not alone.all()
    assert not any(x[alone].any() for x in (unit, inverse, q))


def test_not_one_bit_depends_on_the_number_of_threads():
    results, threads = [], numba.get_num_threads()
    for count in (1, threads):
        numba.set_num_threads(count)
        found = run(cpu, make_lists(1, 257, 40, 90, 64, 3, np.float32))
        results.append(b"".join(x.tobytes() for x in (*found.floats, *found.profile, *found.backward)))
    numba.set_num_threads(threads)
    assert results[0] == results[1]
