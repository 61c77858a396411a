"""Results as tables: columns, Arrow, pandas, polars, notebooks; ids given as columns of data frames."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_cases import Shop

from milk_np import Evaluation, RidgeDirect, evaluate
from milk_np.data import Dataset, make_synthetic
from milk_np.display.tables import Table, Tabular
from milk_np.errors import DataError, MissingExtraError
from milk_np.serving.identity import texts
from milk_np.serving.index import ItemIndex
from milk_np.serving.ranked import Ranked
from milk_np.training.history import History

SHOP = Shop(seed=5)
VALID, TEST = SHOP.items[60:68], SHOP.items[68:76]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return SHOP.data(SHOP.users, SHOP.items[:76], valid=VALID, test=TEST, lacking={(TEST[0], "text")})


@pytest.fixture(scope="module")
def model(ds: Dataset) -> RidgeDirect:
    return RidgeDirect(topk=(5,)).fit(ds)


@pytest.fixture(scope="module")
def results(ds: Dataset, model: RidgeDirect) -> Mapping[str, Tabular]:
    evaluation = evaluate(model, ds, topk=(5,))
    history = History([{"epoch": 1, "losses": {"total": 0.5}}, {"epoch": 2, "losses": {}, "valid": {"ndcg@5": 0.25}}])
    return {
        "lists": model.recommend(["u001", "u002"], 3),
        "similar": model.similar_items(["i001"], 3),
        "users": model.recommend_users(["i001"], 3),
        "histories": model.recommend_for_histories([["i001", "i002"]], 3),
        "index": ItemIndex(model).recommend(["u001"], 3),
        "evaluation": evaluation,
        "by user": evaluation.by_user,
        "history": history,
        "data": ds,
    }


COLUMNS = {
    "lists": ["user", "rank", "item", "score"],
    "similar": ["item", "rank", "similar", "score"],
    "users": ["item", "rank", "user", "score"],
    "histories": ["history", "rank", "item", "score"],
    "index": ["user", "rank", "item", "score"],
    "history": ["epoch", "loss_total", "valid_ndcg@5"],
    "data": ["user", "item", "split"],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_have_the_names_of_what_they_hold(name: str, results: Mapping[str, Tabular]) -> None:
    assert list(results[name].columns()) == COLUMNS[name]


def test_lists_are_rows_without_padding() -> None:
    found = np.array([["a", "b"], ["c", ""]])
    ranked = Ranked(np.array(["x", "y"]), found, np.array([[2, 1], [0.5, -np.inf]], np.float32), "user", "item")
    shown = {name: column.tolist() for name, column in ranked.columns().items()}
    assert shown == {"user": ["x", "x", "y"], "rank": [1, 2, 1], "item": ["a", "b", "c"], "score": [2.0, 1.0, 0.5]}
    assert repr(ranked) == "<2 lists of up to 2: item by user>"


def test_an_evaluation_has_a_row_for_each_group(results: Mapping[str, Tabular]) -> None:
    evaluation = results["evaluation"]
    assert isinstance(evaluation, Evaluation)
    columns = evaluation.columns()
    assert columns["group"].tolist() == ["all", *evaluation.slices]
    assert columns["users"].tolist() == [evaluation.n_users, *evaluation.slice_users.values()]
    assert columns["ndcg@5"].tolist() == [each["ndcg@5"] for each in (evaluation.metrics, *evaluation.slices.values())]
    assert np.isnan(columns["coverage@5"][1:]).all()
    people = evaluation.by_user.columns()
    assert set(people["user"].tolist()) <= set(SHOP.users)
    assert float(np.mean(people["ndcg@5"])) == pytest.approx(evaluation.metrics["ndcg@5"])
    assert "ndcg@5" in repr(evaluation)


@pytest.mark.parametrize("name", [*COLUMNS, "evaluation", "by user"])
def test_a_result_goes_to_arrow_pandas_and_polars(name: str, results: Mapping[str, Tabular]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra: frames)")
    polars = pytest.importorskip("polars", reason="polars is not installed (extra: frames)")
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: parquet)")
    result = results[name]
    columns, table, frame = result.columns(), result.to_arrow(), result.to_pandas()
    assert isinstance(table, arrow.Table)
    assert isinstance(frame, pandas.DataFrame)
    assert arrow.table(result).schema == table.schema
    for key, column in columns.items():
        for other in (table[key].to_numpy(), frame[key].to_numpy(), polars.DataFrame(result)[key].to_numpy()):
            np.testing.assert_array_equal(np.asarray(other).astype(column.dtype), column)


@pytest.mark.parametrize(("method", "module"), [("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_without_the_library_the_extra_is_named(method: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingExtraError, match=r"pip install \"milk-np\["):
        getattr(Table({"a": np.arange(3)}), method)()


def test_notebooks_get_escaped_tables_of_ten_rows() -> None:
    shown = Table({"id": np.array(["<script>"] * 12), "x": np.full(12, 0.5)})._repr_html_()
    assert shown.count("&lt;script&gt;") == 10
    assert "<script>" not in shown
    assert "and 2 more rows" in shown
    assert shown.count('scope="col"') == 2
    assert Table({})._repr_html_()


@pytest.mark.parametrize("name", [*COLUMNS, "evaluation", "by user"])
def test_results_say_what_they_are(name: str, results: Mapping[str, Tabular]) -> None:
    result = results[name]
    assert "object at 0x" not in repr(result)
    assert "array(" not in repr(result)
    assert "<table>" in result._repr_html_()


def test_a_data_set_says_its_sizes(ds: Dataset) -> None:
    text = repr(ds)
    assert "90 users, 76 items (16 of them new)" in text
    assert "image 8, text 6" in text
    shown = ds._repr_html_()
    assert "6 numbers, missing for 1 items" in shown
    assert "content_hash" not in vars(ds), "showing a set must not read all its features"
    unnamed = make_synthetic(60, 50, 500, {"image": 3})
    assert unnamed.columns()["user"].dtype.kind == "i"


def columns_of(words: Sequence[str]) -> list[Any]:
    """The same ids as whatever people hold them in."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra: frames)")
    polars = pytest.importorskip("polars", reason="polars is not installed (extra: frames)")
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: parquet)")
    listed = list(words)
    return [
        tuple(words), np.array(listed), np.array(listed, object), pandas.Series(listed), pandas.Index(listed),
        pandas.Series(listed, dtype="category"), polars.Series(listed), arrow.array(listed),
        arrow.chunked_array([listed[:1], listed[1:]]),
    ]  # fmt: skip


def test_ids_come_in_any_column(model: RidgeDirect, ds: Dataset) -> None:
    words = ["u003", "u001"]
    wanted = model.recommend(words, 3)
    for column in columns_of(words):
        np.testing.assert_array_equal(model.recommend(column, 3).found, wanted.found)
        assert evaluate(model, ds, topk=(5,), users=column).n_users == 2
    liked = ["i004", "i009"]
    guests = model.recommend_for_histories([liked], 3)
    for column in columns_of(liked):
        np.testing.assert_array_equal(model.recommend_for_histories([column], 3).found, guests.found)
        assert model.recommend_users(column, 2).found.shape == (2, 2)
        assert model.similar_items(column, 2, candidates=columns_of(SHOP.items[:20])[3]).found.shape == (2, 2)


@given(st.lists(st.text(max_size=5), max_size=5))
def test_texts_of_objects_are_texts(words: list[str]) -> None:
    assert texts(np.array(words, object), "user") == words


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("u001", r"users: expected a list of ids, got the text 'u001'; put it in brackets: \['u001'\]"),
        (["u001", None], "users: expected ids, texts or whole numbers, got None at place 1"),
        (np.array(["u001", 1.5], object), "got 1.5 at place 1"),
        (np.array([True], object), "got True at place 0"),
        (np.array([1.5]), "got float64 of shape"),
        ([["u001"]], r"of shape \(1, 1\)"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(model: RidgeDirect, asked: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.recommend(asked, 3)


def test_features_come_in_data_frames(model: RidgeDirect) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra: frames)")
    polars = pytest.importorskip("polars", reason="polars is not installed (extra: frames)")
    rows = np.stack([SHOP.rows["text"][item] for item in TEST[:2]])
    wanted = model.recommend_users_for_new_items({"text": rows}, 3).found
    for frame in (pandas.DataFrame(rows), polars.DataFrame(rows)):
        np.testing.assert_array_equal(model.recommend_users_for_new_items({"text": frame}, 3).found, wanted)
