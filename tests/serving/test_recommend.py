"""Lists for users and items: against sorting, what was seen, ids, and the files they are written to."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.data import Dataset, make_synthetic
from milk_np.display import arrow
from milk_np.errors import DataError, DivergedError, MissingExtraError, SettingsError
from milk_np.serving import output, ranking
from milk_np.serving.identity import Index, to_names
from milk_np.serving.ranking import Factors
from milk_np.serving.recommend import (
    candidate_items,
    recommend,
    recommend_new_items,
    score_items,
    similar_items,
    users_for_items,
    users_for_new_items,
)

Some = NDArray[np.int32]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(40, 70, 500, {"image": 4}, new_items=0.3, seed=1)


@pytest.fixture(scope="module")
def model(ds: Dataset) -> Factors:
    """Whole numbers: exact scores with many ties."""
    rng = np.random.default_rng(0)
    return Factors(
        rng.integers(-2, 3, (ds.n_users, 3)).astype(np.float32),
        rng.integers(-2, 3, (ds.n_items, 3)).astype(np.float32),
    )


def best(scores: dict[int, float], k: int) -> list[int]:
    return (sorted(scores, key=lambda j: (-scores[j], j)) + [-1] * k)[:k]


def pairs(ds: Dataset) -> set[tuple[int, int]]:
    user, item = ds.interactions(0)
    return set(zip(user.tolist(), item.tolist(), strict=True))


@pytest.mark.parametrize("candidates", ["new", "all"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_items_for_users(ds: Dataset, model: Factors, candidates: str, exclude_seen: bool) -> None:
    users = np.array([7, 0, 39], np.int32)
    items = candidate_items(ds, candidates)
    lists = recommend(model, ds, users, len(items), candidates=candidates, exclude_seen=exclude_seen)
    seen = pairs(ds) if exclude_seen else set()
    np.testing.assert_array_equal(lists.query, users)
    for user, found in zip(users.tolist(), lists.found.tolist(), strict=True):
        scores = {j: float(model.users[user] @ model.items[j]) for j in items.tolist() if (user, j) not in seen}
        assert found == best(scores, len(items))


def test_all_users_by_blocks(ds: Dataset, model: Factors, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recommend(model, ds, k=5, candidates="all")
    assert whole.query.tolist() == list(range(ds.n_users))
    monkeypatch.setattr(ranking, "_BLOCK_USERS", 7)
    parts = recommend(model, ds, k=5, candidates="all")
    np.testing.assert_array_equal(parts.found, whole.found)
    np.testing.assert_array_equal(parts.score, whole.score)


def test_no_users(ds: Dataset, model: Factors) -> None:
    assert recommend(model, ds, np.zeros(0, np.int32), 5).found.shape == (0, 5)


def test_some_candidates(ds: Dataset, model: Factors) -> None:
    lists = recommend(model, ds, np.array([3]), 2, candidates=np.array([9, 4, 9]), exclude_seen=False)
    assert sorted(lists.found[0].tolist()) == [4, 9]


@pytest.mark.parametrize("step", [7, 1000])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_users_for_items(
    ds: Dataset, model: Factors, step: int, exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_BLOCK_USERS", step)
    items = np.array([int(ds.train_items[2]), int(ds.new_items()[0])], np.int32)
    lists = users_for_items(model, ds, items, ds.n_users, exclude_seen=exclude_seen)
    seen = pairs(ds) if exclude_seen else set()
    for item, found in zip(items.tolist(), lists.found.tolist(), strict=True):
        scores = {u: float(model.users[u] @ model.items[item]) for u in range(ds.n_users) if (u, item) not in seen}
        assert found == best(scores, ds.n_users)


def test_brand_new_items(ds: Dataset, model: Factors) -> None:
    vectors = model.items[[5, 6, 7]]
    by_item = users_for_new_items(model, ds, vectors, 4)
    known = users_for_items(model, ds, np.array([5, 6, 7]), 4, exclude_seen=False)
    np.testing.assert_array_equal(by_item.found, known.found)
    assert by_item.query.tolist() == [0, 1, 2]
    users = np.array([1, 30])
    scores = score_items(model, ds, vectors, users)
    np.testing.assert_array_equal(scores, model.users[users] @ vectors.T)
    by_user = recommend_new_items(model, ds, vectors, users, 3)
    np.testing.assert_array_equal(by_user.found, np.argsort(-scores, axis=1, kind="stable"))


def test_similar_items(ds: Dataset, model: Factors) -> None:
    item = int(np.flatnonzero(model.items.any(axis=1))[0])
    twin = Factors(model.users, np.vstack([model.items, 3 * model.items[item : item + 1]]))
    lists = similar_items(twin, _one_more(ds), np.array([item]), 3)
    assert item not in lists.found[0].tolist()
    assert lists.score[0, 0] == pytest.approx(1, abs=1e-6)
    cosine = _cosines(twin.items, item)
    np.testing.assert_allclose(lists.score[0], np.sort(np.delete(cosine, item))[::-1][:3], atol=1e-6)


def _cosines(items: NDArray[np.float32], item: int) -> NDArray[np.float64]:
    norms = np.maximum(np.linalg.norm(items, axis=1), 1e-9)
    cosines: NDArray[np.float64] = items @ items[item] / norms / norms[item]
    return cosines


def _one_more(ds: Dataset) -> Dataset:
    """One more new item, without pairs."""
    return replace(
        ds,
        item_split=np.append(ds.item_split, np.uint8(1)),
        available=np.vstack([ds.available, [[True]]]),
        features={"image": np.vstack([ds.features["image"], ds.features["image"][:1]])},
    )


def test_what_cannot_be_asked(ds: Dataset, model: Factors) -> None:
    with pytest.raises(SettingsError, match="at least 1, got 0"):
        recommend(model, ds, k=0)
    with pytest.raises(SettingsError, match="expected new, all or numbers of items, got 'old'"):
        recommend(model, ds, candidates="old")
    with pytest.raises(DataError, match="users: expected numbers from 0 to 39, got 40"):
        recommend(model, ds, np.array([1, 40]))
    with pytest.raises(DataError, match="items: expected a 1-D integer array, got float64"):
        users_for_items(model, ds, np.array([1.5]))
    broken = Factors(model.users, np.full_like(model.items, np.nan))
    with pytest.raises(DivergedError, match="item vectors: expected finite numbers"):
        recommend(broken, ds, k=2)


def test_empty_places_are_never_listed(ds: Dataset, model: Factors) -> None:
    user = int(ds.interactions(0)[0][0])
    lists = recommend(model, ds, np.array([user]), ds.n_items, candidates="all")
    query, rank, found, score = lists.rows()
    assert (lists.found == -1).any()
    assert found.min() >= 0
    assert np.isfinite(score).all()
    assert rank.tolist() == list(range(1, len(found) + 1))
    assert set(query.tolist()) == {user}


def test_ids() -> None:
    names = np.array(["u-10", "u-2", "alice"])
    np.testing.assert_array_equal(Index(names, 3, "user").numbers(["alice", "u-10"]), [2, 0])
    assert to_names(np.array([1, 1], np.int32), names).tolist() == ["u-2", "u-2"]
    assert Index(names, 3, "user").numbers([]).shape == (0,)
    np.testing.assert_array_equal(Index(None, 3, "user").numbers(["2", "0"]), [2, 0])
    assert to_names(np.array([1], np.int32), None).tolist() == [1]
    with pytest.raises(DataError, match="user 'alize' is not in the data set; did you mean alice"):
        Index(names, 3, "user").numbers(["alize"])
    with pytest.raises(DataError, match="item '3' is not in the data set; expected a number from 0 to 2"):
        Index(None, 3, "item").numbers(["3"])


def test_ids_that_are_numbers_or_unknown() -> None:
    index = Index(np.array(["10", "7", "007"]), 3, "item")
    assert index.find([7, 10, 8]).tolist() == index.find(np.array([7, 10, 8])).tolist() == [1, 0, -1]
    assert index.find(["007", "7 ", "٧"]).tolist() == [2, -1, -1]
    assert index.names(np.array([[0, -1]], np.int32)).tolist() == [["10", ""]]
    assert Index(None, 12, "user").find(["11", "12", "-1", "1.0", "٧", "x", "1" * 50]).tolist() == [11, *[-1] * 6]
    for bad in ("abc", 3, [1.5], [["a"]], [None]):
        with pytest.raises(DataError, match=r"items: expected (a list of )?ids, "):
            index.find(bad)


def test_nearest_of_very_many_ids() -> None:
    names = np.array([f"user-{n:06d}" for n in range(50_000)])
    with pytest.raises(DataError, match="did you mean user-0"):
        Index(names, len(names), "user").numbers(["user-04321x"])


PARTS = (
    {
        "user": np.array(["a,b", "ü"]),
        "rank": np.array([1, 2], np.int32),
        "score": np.array([0.1, 2], np.float32),
    },
    {"user": np.array(["c"]), "rank": np.array([1], np.int32), "score": np.array([1e-7], np.float32)},
)
ROWS = [("a,b", 1, 0.1), ("ü", 2, 2.0), ("c", 1, 1e-7)]


def test_csv(tmp_path: Path) -> None:
    output.write_table(tmp_path / "out.csv", PARTS)
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["user", "rank", "score"]
    assert [(user, int(rank), float(score)) for user, rank, score in rows] == ROWS


def test_jsonl(tmp_path: Path) -> None:
    output.write_table(str(tmp_path / "out.jsonl"), iter(PARTS))
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == ROWS
    assert json.loads(lines[0]) == {"user": "a,b", "rank": 1, "score": 0.1}


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    output.write_table(tmp_path / "out.parquet", PARTS)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [str(field.type) for field in table.schema] == ["string", "int32", "float"]
    found = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    assert [(user, rank, float(np.float32(score))) for user, rank, score in found] == [
        (user, rank, float(np.float32(score))) for user, rank, score in ROWS
    ]


def test_parquet_of_many_rows_and_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(output, "_ROWS", 3)
    rng = np.random.default_rng(4)
    words = np.array(["", "a", "é", "日本語", "x" * 40])[rng.integers(0, 5, 11)]
    columns = {"id": words[::-1], "n": np.arange(22, dtype=np.int64)[::2], "x": rng.random(11, np.float32)}
    output.write_table(tmp_path / "out.parquet", [columns, {name: column[:2] for name, column in columns.items()}])
    table = parquet.read_table(tmp_path / "out.parquet")
    table.validate(full=True)
    for name, column in columns.items():
        assert table[name].to_pylist() == column.tolist() + column[:2].tolist()
    output.write_table(tmp_path / "none.parquet", [{name: column[:0] for name, column in columns.items()}])
    none = parquet.read_table(tmp_path / "none.parquet")
    assert (len(none), none.schema) == (0, table.schema)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=70), max_size=9))
def test_text_as_utf8(words: list[str]) -> None:
    column = np.array(words, np.str_)
    lengths, text = arrow._utf8(column)
    encoded = [word.encode() for word in column.tolist()]
    assert list(lengths) == [len(each) for each in encoded]
    assert bytes(text) == b"".join(encoded)


@pytest.mark.parametrize("words", [["a\0b", "c"], ["", ""], ["x" * 64, "y"], ["x" * 65], ["\x7f", "a"], ["\x80", "a"]])
def test_text_at_the_borders_as_utf8(words: list[str]) -> None:
    lengths, text = arrow._utf8(np.array(words))
    assert list(lengths) == [len(word.encode()) for word in words]
    assert bytes(text) == "".join(words).encode()


def test_writing_parquet_does_not_import_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pandas")
    program = (
        "import sys, numpy as np; from milk_np.serving import output; "
        f"output.write_table({str(tmp_path / 'out.parquet')!r}, [dict(a=np.array(['x']), b=np.arange(1))]); "
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"milk-np\[parquet\]"):
        output.write_table(tmp_path / "out.parquet", PARTS)


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ends in .csv, .jsonl, .parquet, got .xlsx"):
        output.write_table(tmp_path / "out.xlsx", PARTS)


def test_nothing_is_left_of_a_file_that_failed(tmp_path: Path) -> None:
    def parts() -> object:
        yield PARTS[0]
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        output.write_table(tmp_path / "out.csv", parts())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
