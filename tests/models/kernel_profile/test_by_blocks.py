"""The fit by blocks against the formula on all items at once, in float64; the same bits on any number of threads."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_memory import fitted
from kernel_profile_cases import plain_content
from scipy import sparse

from milk_np.backends.numba import NumpyBackend
from milk_np.data import apply_protocol, make_synthetic
from milk_np.models.kernel_profile import blocks, fit, samples, smoother
from milk_np.models.kernel_profile.blocks import Items, columns_at_a_time
from milk_np.models.kernel_profile.by_blocks import collect, fit_by_blocks
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.content import similarities
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import owned_sets, weighted
from milk_np.models.kernel_profile.samples import pairs_with, smoothed_gram
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.smoothing import Smoothing


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (smoother, blocks, samples):
        monkeypatch.setattr(module, "BLOCK_ROWS", {"cpu": 33})


class Problem:
    """Items of M modalities, some missing, whitened or not; users of a few items each."""

    def __init__(self, seed: int, n: int, U: int, M: int, L: int, half: bool) -> None:
        rng = np.random.default_rng(seed)
        self.n, self.M, kind = n, M, np.float16 if half else np.float32
        widths = [3 + 2 * m for m in range(M)]
        self.raw = [rng.standard_normal((n + 4, D)).astype(kind) for D in widths]
        self.ids = np.sort(rng.permutation(n + 4)[:n]).astype(np.int32)
        self.owned = rng.random((n, M)) < 0.7
        self.owned[:, 0] |= ~self.owned.any(axis=1)
        self.centres = [rng.standard_normal(D).astype(np.float32) / 3 for D in widths]
        self.axes = [
            (np.linalg.qr(rng.standard_normal((D, D)))[0][:, : rng.integers(0, D + 1)] * 0.7).astype(np.float32)
            for D in widths
        ]
        self.R = (rng.random((U, n)) < 0.15).astype(float)
        self.R[rng.integers(U), rng.integers(n)] = 1
        self.chosen = np.sort(rng.permutation(n)[:L])
        weights = rng.random(M) + 0.1
        self.kernel = ContentKernel(1.2, 0.4, tuple((weights / weights.sum()).tolist()), (0.5,) * M)
        self.smoothing = Smoothing.fit(sparse.csr_array(self.R), rank=4, ridge=3.0, power=0.5)
        self.sets = owned_sets(self.owned)

    def content(self) -> list[np.ndarray]:
        return plain_content(self.raw, self.ids, self.owned, self.centres, self.axes)

    def items(self, backend: NumpyBackend, landmarks: list[np.ndarray]) -> Items:
        across = [np.ascontiguousarray(x.T) for x in landmarks]
        mine = np.ascontiguousarray(self.owned.T)
        return Items(backend, self.raw, self.ids, self.ids, mine, self.centres, self.axes, across, self.kernel)

    def by_blocks(self, dtype: Any, width: int, kernels: Any = "cpu", column_bytes: int | None = None) -> Any:
        """History vectors, coefficients, and the mean item."""
        backend, rows = NumpyBackend(kernels), sparse.csr_array(self.R)
        pairs = Pairs.from_lists(backend, rows.indptr, rows.indices, self.n)
        landmarks = [x[self.chosen] for x in self.content()]
        smooth = Smoother.of(backend, self.smoothing, dtype)
        items = self.items(backend, landmarks)
        found = fit_by_blocks(items, pairs, smooth, self.sets, landmarks, width, dtype, column_bytes)
        h = np.zeros((self.n, found.coefficients.shape[2]), np.float32)
        mean = collect(found, backend, np.ones(self.n), pairs.popularity(), np.arange(self.n), h)
        return h, found.coefficients, mean


problems = st.builds(
    Problem,
    seed=st.integers(0, 9999),
    n=st.sampled_from([8, 40, 90]),
    U=st.sampled_from([5, 60]),
    M=st.integers(1, 3),
    L=st.sampled_from([1, 7, 80]),
    half=st.booleans(),
)
some = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def scores(problem: Problem, h: np.ndarray, coefficients: Any) -> np.ndarray:
    """Of users for all items under each set of modalities, (S, U, n)."""
    content = problem.content()
    similar = similarities(content, [x[problem.chosen] for x in content], problem.kernel.scale)
    k = [weighted(similar, problem.kernel.weights, owned) for owned in problem.sets]
    users = problem.R @ h.astype(np.float64)
    return np.stack([users @ (a @ np.asarray(b, np.float64)).T for a, b in zip(k, coefficients, strict=True)])


def gap(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


@some
@given(problem=problems, width=st.sampled_from([3, 1024]), columns=st.sampled_from([64, 1024]))
def test_in_float64_it_is_the_formula(problem: Problem, width: int, columns: int) -> None:
    h, coefficients = fitted(
        problem.content(), problem.chosen, problem.R, problem.smoothing, problem.sets, problem.kernel, width
    )  # fmt: skip
    expected = scores(problem, h, coefficients)
    found = problem.by_blocks(np.float64, width, "reference", columns * problem.n * 8)
    assert found[0].dtype == found[1].dtype == np.float32
    assert gap(scores(problem, *found[:2]), expected) < 1e-6
    fast = problem.by_blocks(np.float64, width, "cpu", columns * problem.n * 8)
    assert gap(scores(problem, *fast[:2]), expected) < 3e-5  # similarities differ in their last bit
    popularity = problem.R.sum(axis=0)
    np.testing.assert_allclose(found[2], popularity @ found[0] / popularity.sum(), atol=1e-6 * np.abs(h).max())


@some
@given(problem=problems)
def test_in_float32_it_is_near(problem: Problem) -> None:
    expected = scores(problem, *problem.by_blocks(np.float64, 1024)[:2])
    assert gap(scores(problem, *problem.by_blocks(np.float32, 1024)[:2]), expected) < 2e-3


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_the_bits_of_a_fit_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "PRECISE_ITEMS", 0)
    data = make_synthetic(900, 800, 9000, {"image": 20, "text": 12}, seed=3)
    ds, before, states = apply_protocol(data, "MTMT"), numba.get_num_threads(), []
    for threads in (1, 2):
        try:
            model = KernelProfile(threads=threads, landmarks=300, topk=(5,), valid_metric="ndcg@5").fit(ds)
            states.append(model.arrays())
        finally:
            numba.set_num_threads(before)
    for name, x in states[0].items():
        np.testing.assert_array_equal(x, states[1][name], err_msg=name)


def test_columns_of_few_bytes() -> None:
    assert columns_at_a_time(1000, 300, np.float32, 1 << 30) == 300
    assert columns_at_a_time(1000, 300, np.float32, 4000 * 200) == 192
    assert columns_at_a_time(1000, 300, np.float32, 1) == 64


# What choices need


def host_pairs(R: np.ndarray) -> Pairs:
    rows = sparse.csr_array(R)
    return Pairs.from_lists(NumpyBackend(), rows.indptr, rows.indices, R.shape[1])


@pytest.mark.parametrize("rank", [0, 5])
def test_the_gram_matrix_of_smoothed_columns(rank: int) -> None:
    rng = np.random.default_rng(rank)
    R = (rng.random((90, 70)) < 0.1).astype(float)
    smoothing = Smoothing.fit(sparse.csr_array(R), rank=rank, ridge=3.0, power=0.5)
    few = rng.permutation(70)[:20]
    Y = (R @ smoothing.apply(np.eye(70)))[:, few]
    pairs = host_pairs(R)
    found = smoothed_gram(pairs, Smoother.of(pairs.backend, smoothing, np.float64), few)
    np.testing.assert_allclose(found, Y.T @ Y, atol=1e-10)


def test_pairs_of_a_choice_are_all_or_of_users_who_chose_one_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    R = (rng.random((90, 70)) < 0.05).astype(float)
    items = rng.permutation(70)[:9]
    np.testing.assert_array_equal(pairs_with(host_pairs(R), items).toarray(), R)
    monkeypatch.setattr(samples, "MOST_USERS", 12)
    some, again = (pairs_with(host_pairs(R), items).toarray() for _ in range(2))
    np.testing.assert_array_equal(some, again)
    assert some.shape == (12, 70)
    assert some[:, items].any(axis=1).all()
    assert {row.tobytes() for row in some} <= {row.tobytes() for row in R}


def test_large_tables_lie_on_disk_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(fit.table_of_zeros((3, 2))) is np.ndarray
    monkeypatch.setattr(fit, "MOST_IN_MEMORY", 5)
    table = fit.table_of_zeros((3, 2))
    assert isinstance(table, np.memmap)
    assert table.shape == (3, 2)
    assert not table.any()
    table[1, 1] = 4
    assert table.sum() == 4
