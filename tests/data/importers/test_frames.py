"""Data frames of any kind and dicts of arrays give the same data set to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from raw_cases import FEATURES, PAIRS, pairs_of, words

from milk_np import Dataset
from milk_np.data import Preparation
from milk_np.errors import DataError, MissingExtraError, ModalityError

Columns = dict[str, Any]
NAMED = [(f"u{u}", f"p{i:02d}") for u, i in PAIRS]
THERE = [11, 0, 3, 4, 5, 6, 8, 9, 10]
"""Items with an image, in the order of their rows."""


def pandas_frame(columns: Columns) -> Any:
    import pandas

    return pandas.DataFrame({name: _listed(values) for name, values in columns.items()})


def pandas_strings(columns: Columns) -> Any:
    """Ids as categories, times as pandas has them."""
    frame = pandas_frame(columns)
    kinds = {name: "category" for name, values in columns.items() if np.asarray(values).dtype.kind == "U"}
    return frame.astype(kinds)


def polars_frame(columns: Columns) -> Any:
    import polars

    return polars.DataFrame({name: _listed(values) for name, values in columns.items()})


def arrow_table(columns: Columns) -> Any:
    import pyarrow

    return pyarrow.table({name: _listed(values) for name, values in columns.items()})


def arrow_reader(columns: Columns) -> Any:
    return arrow_table(columns).to_reader(7)


def duck(columns: Columns) -> Any:
    import duckdb

    return duckdb.connect().from_arrow(arrow_table(columns))


def plain(columns: Columns) -> Any:
    return columns


def lists(columns: Columns) -> Any:
    return {name: values.tolist() if np.ndim(values) == 1 else values for name, values in columns.items()}


def _listed(values: Any) -> Any:
    """Rows of an array as lists, which frames have in its place."""
    return list(values) if np.ndim(values) == 2 else values


KINDS: dict[str, tuple[str, Callable[[Columns], Any]]] = {
    "pandas": ("pandas", pandas_frame),
    "pandas, categories": ("pandas", pandas_strings),
    "polars": ("polars", polars_frame),
    "pyarrow": ("pyarrow", arrow_table),
    "pyarrow, a stream": ("pyarrow", arrow_reader),
    "DuckDB": ("duckdb", duck),
    "dict of arrays": ("numpy", plain),
    "dict of lists": ("numpy", lists),
}


def made(kind: Callable[[Columns], Any], names: bool = True, order: Any = slice(None), **how: Any) -> Dataset:
    """The data set of frames of one kind; images of some items, texts of all, and an item 12 that has only that."""
    user, item = (np.array(column)[order] for column in zip(*(NAMED if names else PAIRS), strict=True))
    when = np.datetime64("2024-01-01", "us") + np.arange(len(PAIRS))[order] * np.timedelta64(1, "D")
    catalogue = np.array([f"p{n:02d}" for n in range(13)]) if names else np.arange(13)
    text = np.vstack([FEATURES["text"].astype(np.float32), np.ones((1, 3), np.float32)])
    features = {
        "image": kind({"item": catalogue[THERE], "vector": FEATURES["image"][THERE]}),
        "text": kind({"item": catalogue, **{f"x{n}": text[:, n] for n in range(3)}}),
    }
    return Dataset.from_frames(kind({"user": user, "item": item, "when": when}), features, Preparation(**how))


@pytest.mark.parametrize("names", [True, False], ids=["text", "numbers"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_give_the_same_bits(kind: str, names: bool) -> None:
    library, build = KINDS[kind]
    pytest.importorskip(library, reason=f"{library} is not installed: its frames are not compared with the others")
    expected = made(plain, names)
    ds = made(build, names)
    assert ds.content_hash == expected.content_hash
    assert pairs_of(ds) == words(NAMED if names else PAIRS)
    assert np.flatnonzero(ds.available[:, 0]).tolist() == sorted(THERE)
    assert np.array_equal(ds.features["image"][THERE], FEATURES["image"][THERE])
    assert ds.new_items(3).tolist() == [12]


def test_the_order_of_rows_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(PAIRS))
    assert made(plain, order=order).content_hash == made(plain).content_hash


@pytest.mark.parametrize("kind", KINDS)
def test_splits_by_time_are_the_same(kind: str) -> None:
    library, build = KINDS[kind]
    pytest.importorskip(library, reason=f"{library} is not installed: its frames are not compared with the others")

    def split(build: Callable[[Columns], Any]) -> str:
        user, item = (np.array(column) for column in zip(*NAMED, strict=True))
        when = np.datetime64("2024-01-01", "us") + np.argsort(np.argsort(item, kind="stable")) * np.timedelta64(1, "D")
        rated = {"user": user, "item": item, "when": when, "stars": np.arange(len(item)) % 5 + 1.0}
        rows = {"image": {"item": np.unique(item), "vector": FEATURES["image"]}}
        how = Preparation(split="time", new_since=0.4, min_rating=2)
        return Dataset.from_frames(build(rated), rows, how, time="when", rating="stars").content_hash

    assert split(build) == split(plain)


def test_items_of_a_catalogue_without_pairs_or_features() -> None:
    image = ([f"p{n:02d}" for n in range(12)], FEATURES["image"])
    log = {"user": [u for u, _ in NAMED], "item": [i for _, i in NAMED]}
    ds = Dataset.from_frames(log, {"image": image}, items=[f"p{n:02d}" for n in range(12)])
    assert ds.n_items == 12
    with pytest.raises(ModalityError, match=r"1 items without any of image \(such as p99\), which have 0 pairs"):
        Dataset.from_frames(log, {"image": image}, items=["p99"])
    with pytest.raises(ModalityError, match="p99"):
        Dataset.from_frames(log, {"image": image}, items={"item": np.array(["p99"])})


def test_users_and_items_keep_their_ids() -> None:
    """Even ids that are the numbers from 0: tomorrow's data have others."""
    ds = made(plain, names=False)
    assert ds.user_ids is not None
    assert ds.user_ids.tolist() == [str(n) for n in range(8)]
    assert ds.item_ids is not None
    assert ds.item_ids.tolist() == [str(n) for n in range(13)]


LOG = {"user": np.array(["a", "b"]), "item": np.array(["x", "y"])}
IMAGE = {"item": np.array(["x", "y"]), "image": np.ones((2, 3))}


@pytest.mark.parametrize(
    ("log", "features", "error", "message"),
    [
        ([("a", "x")], {"image": IMAGE}, DataError, "interactions: expected a data frame .* got list"),
        (LOG | {"item": ["x"]}, {"image": IMAGE}, DataError, "columns of one length, got user 2, item 1"),
        ({"user": LOG["user"]}, {"image": IMAGE}, DataError, "expected 'item' among user"),
        (LOG | {"user": [1.5, 2.0]}, {"image": IMAGE}, DataError, "'user': expected integers or strings, got float64"),
        (LOG | {"user": ["a", None]}, {"image": IMAGE}, DataError, "got None in row 1"),
        (LOG | {"user": np.ones((2, 2))}, {"image": IMAGE}, DataError, "expected one value a row"),
        (LOG | {"user": ["a", "b\0"]}, {"image": IMAGE}, DataError, "ends with a NUL"),
        ({"user": [], "item": []}, {"image": IMAGE}, DataError, "expected pairs, got none"),
        (LOG, {}, ModalityError, "at least one modality"),
        (LOG, {"image": np.ones((2, 3))}, DataError, "features of image: expected a data frame"),
        (LOG, {"image": {"image": np.ones((2, 3))}}, ModalityError, "expected item ids in 'item', got image"),
        (LOG, {"image": (["x"], np.ones((2, 3)))}, ModalityError, "expected 1 rows, one for each item id, got 2"),
    ],
)
def test_what_is_no_table_is_refused(log: Any, features: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Dataset.from_frames(log, features)


def test_without_pyarrow_frames_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"user": ["a"], "item": ["x"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'milk-np\[parquet\]'"):
        Dataset.from_frames(frame, {"image": IMAGE})
    ds = Dataset.from_frames(LOG | {"item": ["x", "y"]}, {"image": IMAGE}, Preparation(new_items=0))
    assert ds.n_users == 2
