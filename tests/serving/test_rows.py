"""What lists must not hold: pairs and rows against sets, and lists that leave them out against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import DataError
from milk_np.serving.ranking import Factors, Rows
from milk_np.serving.recommend import (
    candidate_items,
    recommend,
    recommend_for_histories,
    recommend_new_items,
    similar_items,
    users_for_items,
)
from milk_np.serving.rows import Exclusions, inside, union, within

NUMBERS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=30)
SETS = st.lists(st.sets(st.integers(0, 9)), min_size=4, max_size=4)


def ints(values: object) -> NDArray[np.int32]:
    return np.array(list(values), np.int32)  # type: ignore[call-overload]


def rows_of(sets: list[set[int]]) -> Rows:
    indptr = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return indptr, np.concatenate([ints([]), *(ints(sorted(each)) for each in sets)])


def sets_of(rows: Rows) -> list[list[int]]:
    """Entries by row: lists, so that order and doubles show."""
    return [each.tolist() for each in np.split(rows[1], rows[0][1:-1])]


@given(NUMBERS, st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_rows_of_pairs(pairs: list[tuple[int, int]], queries: list[int]) -> None:
    rows = Exclusions(query=ints(q for q, _ in pairs), found=ints(f for _, f in pairs)).rows(ints(queries))
    if not pairs:
        assert rows is None
        return
    assert rows is not None
    assert sets_of(rows) == [sorted({f for q, f in pairs if q == query}) for query in queries]


@given(SETS, SETS)
def test_union_of_rows(first: list[set[int]], second: list[set[int]]) -> None:
    both = union(rows_of(first), rows_of(second))
    assert both is not None
    assert sets_of(both) == [sorted(a | b) for a, b in zip(first, second, strict=True)]
    for left, right in ((rows_of(first), None), (None, rows_of(first))):
        one = union(left, right)
        assert one is not None
        assert sets_of(one) == [sorted(each) for each in first]
    assert union(None, None) is None


@given(SETS, st.sets(st.integers(0, 9)), st.integers(0, 9), st.integers(0, 9))
def test_rows_as_positions(rows: list[set[int]], items: set[int], start: int, stop: int) -> None:
    chosen = sorted(items)
    found = inside(rows_of(rows), ints(chosen), 10)
    assert sets_of(found) == [[chosen.index(j) for j in sorted(each & items)] for each in rows]
    part = within(rows_of(rows), slice(start, stop))
    assert sets_of(part) == [[j - start for j in sorted(each) if start <= j < stop] for each in rows]


@given(st.sets(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_candidates_without_items(items: set[int], never: list[int]) -> None:
    assert Exclusions(items=ints(never)).candidates(ints(sorted(items))).tolist() == sorted(items - set(never))


class Profiles(Factors):
    """Users by the sum of their items."""

    def encode_users(self, histories: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        return np.stack([self.items[each].sum(axis=0) for each in histories]).astype(np.float32)


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(40, 70, 500, {"image": 4}, new_items=0.3, seed=1)


@pytest.fixture(scope="module")
def model(ds: Dataset) -> Profiles:
    """Whole numbers: exact scores with many ties."""
    rng = np.random.default_rng(0)
    users, items = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (ds.n_users, ds.n_items))
    return Profiles(users, items)


def best(scores: dict[int, float], k: int) -> list[int]:
    return (sorted(scores, key=lambda j: (-scores[j], j)) + [-1] * k)[:k]


def never(ds: Dataset, n_queries: int, n_found: int) -> Exclusions:
    rng = np.random.default_rng(5)
    items = rng.permutation(ds.n_items)[:9].astype(np.int32)
    return Exclusions(items, *(rng.integers(0, n, 400).astype(np.int32) for n in (n_queries, n_found)))


@pytest.mark.parametrize("candidates", ["new", "all"])
def test_users_without_what_is_excluded(ds: Dataset, model: Profiles, candidates: str) -> None:
    out, items = never(ds, ds.n_users, ds.n_items), candidate_items(ds, candidates)
    user, item = ds.interactions(0)
    seen = set(zip(user.tolist(), item.tolist(), strict=True)) | set(
        zip(out.query.tolist(), out.found.tolist(), strict=True)
    )
    lists = recommend(model, ds, k=60, candidates=candidates, exclude=out)
    for u, found in enumerate(lists.found.tolist()):
        left = [j for j in items.tolist() if (u, j) not in seen and j not in out.items]
        assert found == best({j: float(model.users[u] @ model.items[j]) for j in left}, 60)


def test_histories_without_what_is_excluded(ds: Dataset, model: Profiles) -> None:
    histories = [np.array([3, 9]), np.array([], np.int32), np.array([60, 2])]
    out = never(ds, len(histories), ds.n_items)
    lists = recommend_for_histories(model, ds, histories, 70, candidates="all", exclude=out)
    for n, (history, found) in enumerate(zip(histories, lists.found.tolist(), strict=True)):
        gone = {*out.items.tolist(), *history.tolist(), *out.found[out.query == n].tolist()}
        vector = model.items[history.astype(np.int64)].sum(axis=0)
        left = {j: float(vector @ model.items[j]) for j in range(ds.n_items) if j not in gone}
        assert found == best(left, 70)


def test_users_of_items_without_what_is_excluded(ds: Dataset, model: Profiles) -> None:
    out = never(ds, ds.n_items, ds.n_users)
    lists = users_for_items(model, ds, np.array([4, 8]), 40, exclude_seen=False, exclude=out)
    for item, found in zip((4, 8), lists.found.tolist(), strict=True):
        gone = set(out.found[out.query == item].tolist())
        assert found == best({u: float(model.users[u] @ model.items[item]) for u in set(range(40)) - gone}, 40)


def test_similar_items_without_what_is_excluded(ds: Dataset, model: Profiles) -> None:
    out = never(ds, ds.n_items, ds.n_items)
    whole = similar_items(model, ds, np.array([4, 8]), 70)
    lists = similar_items(model, ds, np.array([4, 8]), 70, exclude=out)
    for row, item in enumerate((4, 8)):
        gone = {*out.items.tolist(), *out.found[out.query == item].tolist(), -1}
        assert [j for j in lists.found[row].tolist() if j >= 0] == [
            j for j in whole.found[row].tolist() if j not in gone
        ]


def test_lists_are_padded_where_candidates_are_few(ds: Dataset, model: Profiles) -> None:
    some, users = np.array([9, 4, 12]), np.array([3, 7])
    short, long = (recommend(model, ds, users, k, candidates=some, exclude_seen=False) for k in (3, 8))
    np.testing.assert_array_equal(long.found[:, :3], short.found)
    np.testing.assert_array_equal(long.score[:, :3], short.score)
    assert (long.found[:, 3:] == -1).all()
    assert np.isneginf(long.score[:, 3:]).all()
    assert len(long.rows()[0]) == 6
    assert users_for_items(model, ds, np.array([1]), 45).found.shape == (1, 45)
    assert similar_items(model, ds, np.array([1]), 99).found.shape == (1, 99)
    assert recommend_new_items(model, ds, model.items[:2], users, 5).found.shape == (2, 5)


def test_nothing_to_choose_from(ds: Dataset, model: Profiles) -> None:
    with pytest.raises(DataError, match=r"exclude: all of the 2 candidates are excluded"):
        recommend(model, ds, k=2, candidates=np.array([4, 9]), exclude=Exclusions(items=ints([4, 9])))
    with pytest.raises(DataError, match="expected at least one new item, got none"):
        recommend_new_items(model, ds, model.items[:0], np.array([1]), 2)
