"""Sums by fixed spans: an engine that works elsewhere, in any order, gives the same bits as this process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_profile_cases import small

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, make_synthetic
from milk_np.data.imputers.constant import MeanImputer
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.kernel_profile import blocks, samples, spans
from milk_np.models.kernel_profile.fit import fit_profile
from milk_np.models.kernel_profile.pairs import InMemory, Pairs, training_lists
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.spans import GROUP, LOCAL, MOST_SPANS, added, groups, total

SETTINGS = KernelProfileSettings(landmarks=30, profile_width=12, smoothing_rank=6)


def copied(value: Any) -> Any:
    """As another process would get it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - what this test has made


class Elsewhere:
    """Works on copies, and on the last part first."""

    def __init__(self) -> None:
        self.parts = 0

    def each(self, work: Callable[..., Any], state: Any, parts: Iterable[Any]) -> Iterator[Any]:
        made = [copied(work)(copied(state), part) for part in copied(list(parts))[::-1]]
        self.parts += len(made)
        yield from made[::-1]

    def sums(self, work: Callable[..., Any], state: Any, parts: Iterable[Any]) -> Iterator[Any]:
        return (added(group) for group in groups(self.each(work, state, parts)))


def few_users(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Spans of about so many users, or so many as there are pairs of each item."""
    monkeypatch.setattr(spans, "USER_ROWS", rows)
    monkeypatch.setattr(spans, "PAIRS_OF_AN_ITEM", 1)


def fitted(ds: Dataset, engine: Any) -> dict[str, Any]:
    indptr, item = training_lists(ds)
    n, backend = len(ds.train_items), NumpyBackend()
    of = Pairs(backend, InMemory(backend, indptr, item, n), (ds.n_users, n), len(item), engine)
    imputer = MeanImputer().fit(ds)
    centres = {name: imputer.fitted[f"mean_{name}"] for name in ds.modalities}
    with one_blas_thread():
        return fit_profile(ds, centres, SETTINGS, pairs=of)[0]


@pytest.mark.parametrize(("rows", "users"), [(3, 2), (7, 5), (64, 16), (2048, 1 << 14)])
def test_any_engine_gives_the_same_bits(rows: int, users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few users, whose smoothing is exact, as many spans as groups need and one alone."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", {"cpu": rows})
    few_users(monkeypatch, users)
    elsewhere, ds = Elsewhere(), small(M=3)
    found, expected = fitted(ds, elsewhere), fitted(ds, LOCAL)
    assert elsewhere.parts >= 4 * len(ds.train_items) // rows
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


@pytest.mark.parametrize("most", [100, 1 << 16])
def test_so_does_the_search_for_directions(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More users than the exact smoothing is for, and than are looked at for choices."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", {"cpu": 50})
    few_users(monkeypatch, 64)
    monkeypatch.setattr(samples, "MOST_USERS", most)
    ds = make_synthetic(900, 800, 9000, {"image": 6, "text": 5}, new_items=0.2, seed=3)
    found, expected = fitted(ds, Elsewhere()), fitted(ds, LOCAL)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def test_spans_of_users_change_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = make_synthetic(900, 300, 9000, {"image": 6}, new_items=0.2, seed=3)
    whole = Pairs.of(ds, NumpyBackend())
    x = np.random.default_rng(0).standard_normal((whole.shape[1], 100))
    expected = x.copy()
    whole.gram_times(expected)
    few_users(monkeypatch, 7)
    parts = Pairs.of(ds, NumpyBackend())
    found = x.copy()
    parts.gram_times(found)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(parts.popularity(), whole.popularity())
    few = np.array([5, 0, 17])
    assert (samples.users_of(parts, few) != samples.users_of(whole, few)).nnz == 0
    assert (samples.pairs_with(parts, few) != samples.pairs_with(whole, few)).nnz == 0


@given(n=st.integers(0, 100_000), step=st.integers(1, 5000))
def test_spans_cover_all_rows_once(n: int, step: int) -> None:
    found = spans.spans(n, step)
    assert [s.start for s in found] == [0, *(s.stop for s in found[:-1])]
    assert found[-1].stop == n
    assert len(found) <= MOST_SPANS
    assert len({s.stop - s.start for s in found[:-1]}) <= 1
    assert all((s.stop - s.start) % step == 0 for s in found[:-1])


@given(n=st.integers(1, 40))
def test_a_total_adds_groups_in_order(n: int) -> None:
    """In float32, where another order rounds otherwise."""
    parts = [np.float32(x) for x in np.random.default_rng(n).standard_normal(n) * 10.0 ** np.arange(n) / 1e20]
    sums = []
    for start in range(0, n, GROUP):
        one = parts[start]
        for more in parts[start + 1 : start + GROUP]:
            one = one + more
        sums.append(one)
    expected = sums[0]
    for more in sums[1:]:
        expected = expected + more
    (found,) = total(LOCAL, lambda _, x: [np.array([x])], None, parts)
    assert found[0] == expected
