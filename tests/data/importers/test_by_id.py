"""Pairs and features meet by id: whatever the order of the files, what one of them lacks is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_cases import FEATURES, PAIRS, pairs_of, words, write_features, write_table

from milk_np.data import Dataset, Preparation, from_folder, from_tables
from milk_np.data.importers.vectors import of_mapping
from milk_np.errors import DataError, ModalityError, SettingsError

NAMED = [(f"u{u}", f"p{i:02d}") for u, i in PAIRS]
IMAGE = [n for n in range(12) if n not in (2, 7)]
"""Items with an image, in the order of its file; all but item 5 have a text, and an item 12 has a text alone."""
TEXT = [12, *(n for n in reversed(range(12)) if n != 5)]


def ids(numbers: list[int]) -> np.ndarray:
    return np.array([f"p{n:02d}" for n in numbers])


def rows(name: str, numbers: list[int]) -> np.ndarray:
    return np.vstack([FEATURES[name], FEATURES[name][:1] + 1])[numbers]


def npz(folder: Path, name: str, numbers: list[int]) -> Path:
    np.savez(folder / f"{name}.npz", item=ids(numbers), **{name: rows(name, numbers)})
    return folder / f"{name}.npz"


def npy(folder: Path, name: str, numbers: list[int]) -> Path:
    np.save(folder / f"{name}.npy", rows(name, numbers))
    (folder / f"{name}.txt").write_text("\n".join(ids(numbers)))
    return folder / f"{name}.npy"


def parquet(folder: Path, name: str, numbers: list[int], kind: str = "list") -> Path:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = rows(name, numbers)
    of = arrow.float16() if values.dtype == np.float16 else arrow.float32()
    if kind == "columns":
        columns = {f"x{n}": arrow.array(values[:, n], of) for n in range(values.shape[1])}
    else:
        lists = {"list": arrow.list_(of), "fixed": arrow.list_(of, values.shape[1]), "large": arrow.large_list(of)}
        columns = {"vector": arrow.array(list(values), lists[kind])}
    table = arrow.table({"item": ids(numbers), "title": ["t"] * len(numbers), **columns})
    writer.write_table(table, folder / f"{name}.parquet", row_group_size=4)
    return folder / f"{name}.parquet"


def check(ds: Dataset) -> None:
    """The union of all ids, every row at its item, and what a file lacks missing."""
    assert ds.item_ids is not None
    assert ds.item_ids.tolist() == ids(list(range(13))).tolist()
    assert pairs_of(ds) == words(NAMED)
    for m, (name, there) in enumerate((("image", IMAGE), ("text", TEXT))):
        assert np.flatnonzero(ds.available[:, m]).tolist() == sorted(there)
        assert np.array_equal(ds.features[name][there], rows(name, there))
        assert ds.features[name].dtype == FEATURES[name].dtype
    assert ds.new_items(3).tolist() == [12]
    assert ds.meta["natural_missing"] is True


@pytest.mark.parametrize("kind", ["list", "fixed", "large", "columns"])
def test_features_from_parquet(tmp_path: Path, kind: str) -> None:
    table = write_table(tmp_path / "log.csv", NAMED)
    files = {"image": parquet(tmp_path, "image", IMAGE, kind), "text": parquet(tmp_path, "text", TEXT, kind)}
    check(from_tables(table, files))


def test_features_from_npz_and_npy_with_ids(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv", NAMED)
    files = {"image": npz(tmp_path, "image", IMAGE), "text": npy(tmp_path, "text", TEXT)}
    check(from_tables(table, files, ids={"text": tmp_path / "text.txt"}))


def test_a_folder_of_tables_by_id(tmp_path: Path) -> None:
    write_table(tmp_path / "interactions.csv", NAMED)
    npz(tmp_path, "image", IMAGE)
    parquet(tmp_path, "text", TEXT)
    check(from_folder(tmp_path))


def test_numbers_and_text_meet(tmp_path: Path) -> None:
    numbers = np.array([10, 9, *range(9), 11], np.int64)
    np.savez(tmp_path / "image.npz", item=numbers, image=FEATURES["image"][numbers])
    np.savez(tmp_path / "text.npz", item=numbers.astype(str), text=FEATURES["text"][numbers])
    table = write_table(tmp_path / "log.csv", PAIRS)
    for name in ("image", "text"):
        ds = from_tables(table, {name: tmp_path / f"{name}.npz"})
        assert ds.item_ids is not None
        assert np.array_equal(ds.features[name], FEATURES[name][ds.item_ids.astype(int)])
        assert pairs_of(ds) == words(PAIRS)
        assert ds.user_ids is not None  # users keep their ids where items have them


def test_a_column_is_chosen_by_its_name(tmp_path: Path) -> None:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    image, text = list(FEATURES["image"]), list(FEATURES["text"].astype(np.float32))
    table = arrow.table({"sku": ids(list(range(12))), "image": image, "bert": text})
    writer.write_table(table, tmp_path / "items.parquet")
    log = write_table(tmp_path / "log.csv", NAMED, "user,sku")
    files = {"image": tmp_path / "items.parquet", "text": f"{tmp_path}/items.parquet:bert"}
    ds = from_tables(log, files, item_col="sku")
    assert np.array_equal(ds.features["image"], FEATURES["image"])
    assert np.array_equal(ds.features["text"], FEATURES["text"].astype(np.float32))
    with pytest.raises(ModalityError, match=r"one column of vectors, or one named audio, got image, bert; .*:COLUMN"):
        from_tables(log, {"audio": tmp_path / "items.parquet"}, item_col="sku")
    with pytest.raises(ModalityError, match="expected lists of numbers in column 'sku', got string"):
        from_tables(log, {"audio": f"{tmp_path}/items.parquet:sku"}, item_col="sku")
    with pytest.raises(ModalityError, match="expected a column 'none'"):
        from_tables(log, {"audio": f"{tmp_path}/items.parquet:none"}, item_col="sku")


def lists(tmp_path: Path, values: list[Any], names: list[str] | None = None) -> Path:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vector = arrow.array(values, arrow.list_(arrow.float32()))
    table = arrow.table({"item": names or ids(list(range(len(values)))), "vector": vector})
    writer.write_table(table, tmp_path / "image.parquet", row_group_size=5)
    return tmp_path / "image.parquet"


def test_an_empty_cell_and_a_row_of_nan_are_missing(tmp_path: Path) -> None:
    values: list[Any] = [[float(n), 1.0] for n in range(12)]
    values[0], values[4], values[11] = None, [np.nan, np.nan], [None, None]
    text = npz(tmp_path, "text", list(range(12)))
    ds = from_tables(write_table(tmp_path / "log.csv", NAMED), {"image": lists(tmp_path, values), "text": text})
    assert np.flatnonzero(~ds.available[:, 0]).tolist() == [0, 4, 11]
    assert not ds.features["image"][[0, 4, 11]].any()
    assert "all zero" not in ds.statistics()


def test_a_nan_in_a_row_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    values: list[Any] = [[float(n), 1.0] for n in range(12)]
    values[4] = [np.nan, 1.0]
    table, text = write_table(tmp_path / "log.csv", NAMED), npz(tmp_path, "text", list(range(12)))
    files = {"image": lists(tmp_path, values), "text": text}
    with pytest.raises(ModalityError, match=r"1 rows hold NaN .*first rows 4.*--missing-rows nan"):
        from_tables(table, files)
    assert not from_tables(table, files, Preparation(missing_rows=("nan",))).available[4, 0]


def test_lists_that_do_not_fit(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv", NAMED)
    values: list[Any] = [[1.0, 2.0]] * 12
    with pytest.raises(ModalityError, match="got 3 numbers in row 8 and 2 before"):
        from_tables(table, {"image": lists(tmp_path, [*values[:7], [1.0, 2.0, 3.0], *values[8:]])})
    with pytest.raises(ModalityError, match="expected vectors in column 'vector', got none"):
        from_tables(table, {"image": lists(tmp_path, [None] * 12)})
    with pytest.raises(ModalityError, match="expected distinct ids, got p03 more than once"):
        from_tables(table, {"image": lists(tmp_path, values, [*ids(list(range(11))).tolist(), "p03"])})


def test_ids_of_another_kind_are_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no item of the pairs has features: .* p00, p01, p02.* features 0, 1, 2"):
        from_tables(write_table(tmp_path / "log.csv", NAMED), {"image": lists(tmp_path, [[1.0]] * 12, list(range(12)))})


def test_items_without_any_feature_are_refused_or_left_out(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv", [*NAMED, ("u0", "zz"), ("u99", "zz")])
    files = {"image": npz(tmp_path, "image", IMAGE), "text": npz(tmp_path, "text", TEXT)}
    with pytest.raises(ModalityError, match=r"1 items without any of image, text \(such as zz\), which have 2 pairs"):
        from_tables(table, files)
    ds = from_tables(table, files, Preparation(drop_featureless=True))
    check(ds)
    assert ds.meta["notes"] == ["left out 1 items without any of image, text, and their 2 pairs"]
    assert ds.user_ids is not None
    assert "u99" not in ds.user_ids


def test_rows_without_features_are_left_out_too(tmp_path: Path) -> None:
    features = {name: values.copy() for name, values in FEATURES.items()}
    features["image"][3] = features["text"][3] = np.nan
    table = write_table(tmp_path / "log.csv", PAIRS)
    with pytest.raises(ModalityError, match=r"1 items without any .* --drop-featureless"):
        from_tables(table, write_features(tmp_path, features=features))
    ds = from_tables(table, write_features(tmp_path, features=features), Preparation(drop_featureless=True))
    assert pairs_of(ds) == {(u, i) for u, i in words(PAIRS) if i != "3"}
    assert np.array_equal(ds.features["image"], np.delete(FEATURES["image"], 3, axis=0))


def test_files_that_lack_ids_or_have_too_many(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv", NAMED)
    image, text = npz(tmp_path, "image", IMAGE), npy(tmp_path, "text", TEXT)
    with pytest.raises(ModalityError, match=r"features of text have no ids.*--ids text=FILE"):
        from_tables(table, {"image": image, "text": text})
    with pytest.raises(ModalityError, match="it holds its ids itself; leave out --ids image="):
        from_tables(table, {"image": image, "text": text}, ids={"image": tmp_path / "text.txt"})
    with pytest.raises(SettingsError, match="--ids: expected a modality among image, got text"):
        from_tables(table, {"image": image}, ids={"text": tmp_path / "text.txt"})
    np.savez(tmp_path / "bare.npz", image=FEATURES["image"])
    with pytest.raises(ModalityError, match=r"expected item ids in 'item', got image"):
        from_tables(table, {"image": tmp_path / "bare.npz"})
    (tmp_path / "image.pt").touch()
    with pytest.raises(ModalityError, match=r"expected a file ending in \.npy, \.npz, \.parquet"):
        from_tables(table, {"image": tmp_path / "image.pt"})
    with pytest.raises(ModalityError, match="no such file"):
        from_tables(table, {"image": tmp_path / "none.parquet"})


def test_ratings_say_what_counts(tmp_path: Path) -> None:
    rated = [(u, i, 1 + (u + i) % 5) for u, i in PAIRS]
    table = write_table(tmp_path / "log.csv", rated, "user,item,stars")
    files = write_features(tmp_path)
    assert from_tables(table, files).meta["notes"] == [
        "every row counts as a pair, whatever its stars: --rating-col stars --min-rating X keeps those of at least X"
    ]
    ds = from_tables(table, files, Preparation(min_rating=4), rating_col="stars")
    assert pairs_of(ds) == {(str(u), str(i)) for u, i, stars in rated if stars >= 4}
    kept = len(ds.user)
    assert (
        f"{kept} of {len(PAIRS)} rows count as pairs: those rated at least 4 (ratings from 1 to 5)" in ds.statistics()
    )
    with pytest.raises(DataError, match="got 6; they have ratings from 1 to 5"):
        from_tables(table, files, Preparation(min_rating=6), rating_col="stars")
    with pytest.raises(SettingsError, match="--min-rating: expected --rating-col"):
        from_tables(table, files, Preparation(min_rating=6))
    with pytest.raises(DataError, match=r"expected numbers such as 4 or 3\.5, got 'good'"):
        from_tables(write_table(tmp_path / "log.csv", [(1, 2, "good")], "user,item,stars"), files, rating_col="stars")


def test_a_set_for_production_gives_up_no_items(tmp_path: Path) -> None:
    ds = from_tables(write_table(tmp_path / "log.csv", PAIRS[:-1]), write_features(tmp_path), Preparation(new_items=0))
    assert (ds.split == 0).all()
    assert set(ds.item_split.tolist()) <= {0, 3}
    assert ds.meta["new_items"] == 0


@pytest.mark.parametrize("ids", [np.zeros(2, "f4,i4"), np.zeros(2), np.ones(2, bool)])
def test_ids_that_are_no_texts_or_whole_numbers_are_refused(ids: Any) -> None:
    with pytest.raises(ModalityError, match=r"here: ids in 'item_ids': expected texts or whole numbers"):
        of_mapping({"item_ids": ids, "image": np.ones((2, 3), np.float32)}, "image", "here", "item", None)
