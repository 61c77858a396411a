"""The index for serving: its lists are those of plain NumPy and of the model, whatever was added, replaced, removed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import DataError, DivergedError, SettingsError
from milk_np.kernels.cpu.vectors import HALF
from milk_np.serving import stock as stocks
from milk_np.serving.batching import Batcher
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.index import ItemIndex
from milk_np.serving.ranking import Factors
from milk_np.serving.recommend import recommend, recommend_for_histories, similar_items
from milk_np.serving.stock import Stock

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Known(Factors):
    """Vectors with a catalogue, and users by the sum of their items."""

    catalogue: Catalogue

    def encode_users(self, histories: Any) -> Vectors:
        return np.array([self.items[np.asarray(h, np.int64)].sum(axis=0) for h in histories], np.float32)


def make(seed: int = 0, width: int = 3) -> tuple[Dataset, Known]:
    """Whole numbers: exact scores with many ties."""
    ds = make_synthetic(40, 200, 900, {"image": 4}, new_items=0.5, seed=1)
    names = {"user_ids": np.array([f"u{n}" for n in range(40)]), "item_ids": np.array([f"i{n}" for n in range(200)])}
    ds, rng = replace(ds, **names), np.random.default_rng(seed)
    users, items = (rng.integers(-2, 3, (n, width)).astype(np.float32) for n in (40, 200))
    return ds, Known(users, items, Catalogue.of(ds))


def best(items: dict[str, list[int]], query: list[int], k: int, banned: set[str]) -> list[tuple[str, int]]:
    """Sort all items: by score, then by place."""
    scores = {name: int(np.dot(vector, query)) for name, vector in items.items() if name not in banned}
    return sorted(scores.items(), key=lambda pair: -pair[1])[:k]


VECTOR = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
NAME = st.integers(0, 120).map(str)
STEP = st.one_of(
    st.tuples(st.just("put"), st.dictionaries(NAME, VECTOR, max_size=60)),
    st.tuples(st.just("remove"), st.sets(NAME, max_size=40)),
    st.tuples(st.just("search"), st.tuples(VECTOR, st.integers(1, 30), st.sets(NAME, max_size=20))),
    st.tuples(st.just("among"), st.tuples(VECTOR, st.integers(1, 30), st.sets(NAME, max_size=20))),
)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("panels", [1, 2, 256])
@settings(max_examples=60)
@given(steps=st.lists(STEP, max_size=12))
def test_any_sequence_of_changes_and_searches(panels: int, half: bool, steps: list[tuple[str, Any]]) -> None:
    plain: dict[str, list[int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stocks, "_PART_PANELS", panels)
        stock = Stock.of([], np.zeros((0, 3), np.float32), half)
        for kind, what in steps:
            if kind == "put":
                stock = stock.put(list(what), np.array([*what.values()], np.float32).reshape(-1, 3))
                plain |= what
            elif kind == "remove":
                stock = stock.without([name for name in what if name in stock])
                plain = {name: vector for name, vector in plain.items() if name not in what}
            else:
                check_search(stock, plain, kind, *what)
        assert (stock.names, len(stock)) == (list(plain), len(plain))
        np.testing.assert_array_equal(stock.vectors(stock.places(plain)), np.array([*plain.values()]).reshape(-1, 3))


def check_search(stock: Stock, plain: dict[str, Any], kind: str, query: list[int], k: int, names: set[str]) -> None:
    places = stock.places(sorted(names & set(plain), key=list(plain).index))
    dropped, among = (None, places) if kind == "among" else ([places], None)
    place, score = stock.search(np.array([query], np.float32), k, dropped, among)
    banned = set(plain) - names if kind == "among" else names
    found = [(stock.ids[at], int(value)) for at, value in zip(place[0], score[0], strict=True) if at >= 0]
    assert found == best(plain, query, k, banned)
    assert np.isneginf(score[0, len(found) :]).all()


def same(a: Any, b: Any, ids: Any) -> None:
    np.testing.assert_array_equal(a.found, np.where(b.found < 0, "", ids[b.found]))
    np.testing.assert_array_equal(a.score, b.score)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("candidates", ["new", "all"])
def test_lists_are_those_of_recommend(candidates: str, half: bool) -> None:
    ds, _ = make()
    rng = np.random.default_rng(4)
    users, items = (rng.standard_normal((n, 17)).astype(np.float32) for n in (40, 200))
    model = Known(users, items, Catalogue.of(ds))
    index, wanted = ItemIndex(model, candidates, half=half), np.array([3, 0, 39])
    for chosen in (wanted, wanted[:1]):
        expected = recommend(model, ds, chosen, 30, candidates=candidates)
        same(index.recommend([f"u{n}" for n in chosen], 30), expected, ds.item_ids)
    histories = [np.array([1, 5, 150]), np.array([7])]
    expected = recommend_for_histories(model, ds, histories, 9, candidates=candidates)
    names = [[f"i{n}" for n in history] for history in histories]
    same(index.recommend_for_histories(names, 9), expected, ds.item_ids)
    alike = ItemIndex(model, candidates, similar=True)
    (item,) = ds.new_items()[:1]
    expected = similar_items(model, ds, np.array([item]), 9, candidates=candidates)
    same(alike.similar_to([f"i{item}"], 9), expected, ds.item_ids)


def test_candidates_and_exclusions_of_a_request() -> None:
    ds, model = make()
    index, chosen = ItemIndex(model, "all"), np.array([4, 9, 100, 180])
    expected = recommend(model, ds, np.array([2]), 4, candidates=chosen)
    same(index.recommend(["u2"], 4, candidates=[f"i{n}" for n in chosen]), expected, ds.item_ids)
    without = index.recommend(["u2"], 5, exclude=["i4", "i9"]).found
    assert not {"i4", "i9"} & set(without[0].tolist())
    assert index.recommend(["u2"], 250).found[0, -1] == ""


def test_items_come_and_go() -> None:
    _, model = make()
    index, strong = ItemIndex(model), 100 * model.users[:1]
    index.add(["fresh"], strong)
    assert index.recommend(["u0"], 1).found.tolist() == [["fresh"]]
    assert index.recommend_for_histories([["i1", "fresh"]], 200).found.tolist()[0].count("fresh") == 0
    index.replace(["fresh"], -strong)
    assert index.recommend(["u0"], len(index), exclude_seen=False).found[0, -1] == "fresh"
    index.remove(["fresh"])
    assert "fresh" not in index
    index.put(["fresh"], strong)
    index.swap(model)
    assert "fresh" not in index
    index.swap(model, ["other"], strong, [index.state.stock.names[0], "not there"])
    assert ("other" in index, len(index)) == (True, len(model.catalogue.new_items()))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda index: index.add([index.state.stock.names[0]], np.zeros((1, 3))), DataError, "there already"),
        (lambda index: index.replace(["x"], np.zeros((1, 3))), DataError, "'x' is not in the data set"),
        (lambda index: index.remove(["x"]), DataError, "'x' is not in the data set"),
        (lambda index: index.put(["x", "x"], np.zeros((2, 3))), DataError, "given twice"),
        (lambda index: index.put([""], np.zeros((1, 3))), DataError, "an id is empty"),
        (lambda index: index.put(["x"], np.zeros((1, 4))), DataError, r"expected shape \(1, 3\)"),
        (lambda index: index.put(["x"], np.full((1, 3), np.nan)), DivergedError, "finite"),
        (lambda index: index.recommend(["u0"], 0), SettingsError, "at least 1"),
        (lambda index: index.recommend(["nobody"]), DataError, "'nobody' is not in the data set"),
        (lambda index: index.recommend(["u0"], candidates=["x"]), DataError, "'x' is not in the data set"),
        (lambda index: index.recommend_for_histories([["x"]]), DataError, "'x' is not in the data set"),
        (lambda index: index.similar_to(["x"]), SettingsError, "similar=True"),
    ],
)
def test_mistakes_are_told_and_change_nothing(call: Any, error: type[Exception], says: str) -> None:
    index = ItemIndex(make()[1])
    before = index.state
    with pytest.raises(error, match=says):
        call(index)
    assert index.state is before


def test_readers_see_one_state_while_writers_swap() -> None:
    """A writer moves between two models whose items and scores exclude each other: no list may hold both."""
    _, model = make()
    one, other = replace(model, users=model.users * 0 + 1), replace(model, users=model.users * 0 - 1)
    index, fresh = ItemIndex(one, ["i0"]), np.ones((60, 3), np.float32)
    names = {1: [f"plus-{n}" for n in range(60)], -1: [f"minus-{n}" for n in range(60)]}
    index.swap(one, names[1], fresh, ["i0"])
    wrong: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = index.recommend(["u1"], 60)
            sign = {name.partition("-")[0] for name in found.found[0].tolist()}
            if sign not in ({"plus"}, {"minus"}) or set(found.score[0].tolist()) != {3.0}:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for turn in range(60):
        sign = 1 if turn % 2 else -1
        index.swap(one if sign > 0 else other, names[sign], sign * fresh, ["i0"])
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_writers_lose_nothing() -> None:
    _, model = make()
    index = ItemIndex(model)
    before, vector = len(index), np.ones((1, 3), np.float32)

    def write(start: int) -> None:
        for n in range(start, start + 30):
            index.add([f"new-{n}"], vector)
        index.remove([f"new-{start}"])

    writers = [threading.Thread(target=write, args=(100 * n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(index) == before + 4 * 29


def test_those_that_wait_are_answered_together() -> None:
    calls: list[list[int]] = []
    entered, go = threading.Event(), threading.Event()

    def answer(asked: Any) -> list[int]:
        calls.append(list(asked))
        entered.set()
        go.wait()
        return [2 * number for number in asked]

    batcher, found = Batcher(answer, most=3), {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: batcher(n)})) for n in range(6)]
    threads[0].start()
    entered.wait()
    for thread in threads[1:]:
        thread.start()
    while len(batcher._queue) < 5:
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert found == {n: 2 * n for n in range(6)}
    assert [len(call) for call in calls] == [1, 3, 2]


def test_an_error_reaches_everyone_that_waits_and_the_next_is_served() -> None:
    def answer(asked: Any) -> list[float]:
        return [1 / number for number in asked]

    batcher = Batcher(answer)
    with pytest.raises(ZeroDivisionError):
        batcher(0)
    assert batcher(2) == 0.5


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 300.0, 1e6])
@pytest.mark.parametrize("k", [1, 20, 300])
def test_half_precision_gives_the_same_lists(scale: float, k: int) -> None:
    """Whatever the numbers' size: too small or too large ones for half precision too."""
    rng = np.random.default_rng(k)
    vectors = (scale * rng.standard_normal((3000, 24)) * rng.lognormal(size=(3000, 1))).astype(np.float32)
    vectors[1::7] = vectors[::7][: len(vectors[1::7])] * np.float32(1 + 2**-20)  # alike in half precision
    names = [str(n) for n in range(3000)]
    whole, half = (Stock.of(names, vectors, both).without(names[5:40]) for both in (False, True))
    for query in rng.standard_normal((20, 1, 24)).astype(np.float32):
        dropped = [np.arange(100, 900, 7, dtype=np.int32)]
        for got, expected in zip(half.search(query, k, dropped), whole.search(query, k, dropped), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_half_precision_is_used_where_it_suffices_and_not_where_it_does_not() -> None:
    if not HALF:
        pytest.skip("the processor has no instruction that widens half precision")
    rng = np.random.default_rng(0)
    query, vectors = rng.standard_normal((1, 24)).astype(np.float32), rng.standard_normal((3000, 24)).astype(np.float32)
    names = [str(n) for n in range(3000)]
    assert Stock.of(names, vectors, True)._two_looks(query, 20, None) is not None
    alike = np.ones((3000, 24), np.float32) + vectors * np.float32(1e-6)
    assert Stock.of(names, alike, True)._two_looks(query, 20, None) is None
    assert Stock.of(names, vectors * np.float32(1e6), True)._two_looks(query, 20, None) is None
