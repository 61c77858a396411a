"""Importers give back what was written, and name what is wrong with raw data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_cases import FEATURES, PAIRS, pairs_of, words, write_features, write_table

from milk_np.data import (
    Dataset,
    Preparation,
    apply_protocol,
    from_tables,
)
from milk_np.errors import DataError, ModalityError, SettingsError


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.csv.gz", "log.tsv.gz"])
def test_numbered_items_are_rows(tmp_path: Path, name: str) -> None:
    table = write_table(tmp_path / name, PAIRS, sep="\t" if "tsv" in name else ",")
    ds = from_tables(table, write_features(tmp_path))
    assert pairs_of(ds) == words(PAIRS)
    assert (ds.n_users, ds.n_items, ds.user_ids, ds.item_ids) == (8, 12, None, None)
    assert ds.modalities == ("image", "text")
    for key, rows in FEATURES.items():
        assert np.array_equal(ds.features[key], rows)
        assert isinstance(ds.features[key], np.memmap)
    assert ds.meta == {"name": "log", "made": "tables", "source": name, "new_items": 0.2, "split_seed": 0}
    assert ds.available.all()
    assert np.array_equal(ds.split, ds.item_split[ds.item])


def test_columns_are_found_by_name_among_others(tmp_path: Path) -> None:
    rows = [(1.5, i, "x", u) for u, i in PAIRS]
    table = write_table(tmp_path / "log.csv", rows, "rating,sku:token,note,uid:token")
    ds = from_tables(table, write_features(tmp_path), user_col="uid", item_col="sku")
    assert pairs_of(ds) == words(PAIRS)


def test_quotes_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    text = '\ufeffuser,item\r\n"a, b",0\r\n\r\n "c" ,1\r\n' + "".join(f"d,{i}\r\n" for i in range(12))
    table.write_text(text, encoding="utf-8", newline="")
    ds = from_tables(table, write_features(tmp_path), Preparation(new_items=0.4))
    assert ds.user_ids is not None
    assert sorted(ds.user_ids.tolist()) == ['"c"', "a, b", "d"]


def test_sparse_user_numbers_become_ids_in_order_of_number(tmp_path: Path) -> None:
    pairs = [(10 * u + 5, i) for u, i in PAIRS]
    ds = from_tables(write_table(tmp_path / "log.csv", pairs), write_features(tmp_path))
    assert ds.user_ids is not None
    assert ds.user_ids.tolist() == [str(10 * u + 5) for u in range(8)]
    assert pairs_of(ds) == words(pairs)


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    users=st.lists(names, min_size=8, max_size=8, unique=True),
    items=st.lists(names, min_size=12, max_size=12, unique=True),
)
def test_text_ids_round_trip(tmp_path: Path, users: list[str], items: list[str]) -> None:
    def quoted(word: str) -> str:
        return '"' + word.replace('"', '""') + '"'

    pairs = [(quoted(users[u]), quoted(items[i])) for u, i in PAIRS]
    table = write_table(tmp_path / "log.csv", pairs)
    ids = tmp_path / "ids.npy"
    np.save(ids, np.array(items))
    ds = from_tables(table, write_features(tmp_path), item_ids=ids)
    assert pairs_of(ds) == {(users[u], items[i]) for u, i in PAIRS}
    assert ds.item_ids is not None
    assert ds.item_ids.tolist() == items
    assert Dataset.load(ds.save(tmp_path / "set.npz")).content_hash == ds.content_hash


def test_item_ids_from_a_text_file_order_the_rows(tmp_path: Path) -> None:
    ids = [f"p{n}" for n in reversed(range(12))]
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    pairs = [(u, f"p{i}") for u, i in PAIRS]
    ds = from_tables(write_table(tmp_path / "log.csv", pairs), write_features(tmp_path), item_ids=tmp_path / "ids.txt")
    assert pairs_of(ds) == words(pairs)
    assert sorted(ds.item.tolist()) == sorted(11 - i for _, i in PAIRS)


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    user, item = zip(*PAIRS, strict=True)
    columns = {"item": item, "user": [f"u{u}" for u in user], "price": [0.5] * len(user)}
    parquet.write_table(arrow.table(columns), tmp_path / "log.parquet")
    ds = from_tables(tmp_path / "log.parquet", write_features(tmp_path))
    assert pairs_of(ds) == {(f"u{u}", str(i)) for u, i in PAIRS}


def table_case(tmp_path: Path, pairs: list[tuple[Any, Any]] = PAIRS, **options: Any) -> Dataset:
    features = write_features(tmp_path, features=options.pop("features", None))
    how = options.pop("how", None)
    return from_tables(write_table(tmp_path / "log.csv", pairs), features, how, **options)


def test_text_items_need_an_order_of_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"item ids aren't row numbers .*'p0'.* give --item-ids"):
        table_case(tmp_path, [(u, f"p{i}") for u, i in PAIRS])


def test_ids_that_do_not_fit_the_rows(tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    pairs = [(u, f"p{i}") for u, i in PAIRS]
    ids.write_text("\n".join(f"p{i}" for i in range(11)))
    with pytest.raises(DataError, match="feature_image: expected 11 rows, one for each item id, got 12"):
        table_case(tmp_path, pairs, item_ids=ids)
    ids.write_text("\n".join(f"p{i}" for i in range(13)))
    with pytest.raises(ModalityError, match="feature_image: expected 13 rows, one for each item id, got 12"):
        table_case(tmp_path, pairs, item_ids=ids)
    ids.write_text("p0\np1\n\np2\n")
    with pytest.raises(DataError, match="line 3 is empty"):
        table_case(tmp_path, pairs, item_ids=ids)
    ids.write_text("\n".join(["p0"] * 12))
    with pytest.raises(DataError, match="item ids: expected distinct ids, got p0"):
        table_case(tmp_path, pairs, item_ids=ids)
    np.save(tmp_path / "ids.npy", np.ones(12))
    with pytest.raises(DataError, match="expected a 1-D array of ids, got float64"):
        table_case(tmp_path, pairs, item_ids=tmp_path / "ids.npy")
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        table_case(tmp_path, pairs, item_ids=tmp_path / "nowhere.txt")


def test_features_that_do_not_fit(tmp_path: Path) -> None:
    image = FEATURES["image"]
    with pytest.raises(ModalityError, match=r"feature_image: expected at least 12 rows.*largest id 11.*got 7"):
        table_case(tmp_path, features={"image": image[:7]})
    with pytest.raises(ModalityError, match=r"as many rows in each modality.* image 12, text 7"):
        table_case(tmp_path, features={"image": image, "text": image[:7]})
    with pytest.raises(ModalityError, match="features of image: expected a 2-D array of floats"):
        table_case(tmp_path, features={"image": np.ones(12)})
    with pytest.raises(ModalityError, match="at least one modality, got none"):
        table_case(tmp_path, features={})
    with pytest.raises(ModalityError, match=r"features of image: no file image\.npy"):
        from_tables(tmp_path / "log.csv", {"image": tmp_path / "none" / "image.npy"})
    np.save(tmp_path / "odd.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ModalityError, match="holds pickled objects"):
        from_tables(tmp_path / "log.csv", {"image": tmp_path / "odd.npy"})
    with pytest.raises(DataError, match="item: expected ids from 0"):
        table_case(tmp_path, [(0, -1), *PAIRS])


def test_duplicates_are_refused_or_merged(tmp_path: Path) -> None:
    pairs = [*PAIRS, PAIRS[0], PAIRS[3]]
    with pytest.raises(DataError, match=r"2 duplicate pairs, first \(user, item\) \(0, 0\), .*--merge-duplicates"):
        table_case(tmp_path, pairs)
    ds = table_case(tmp_path, pairs, how=Preparation(merge_duplicates=True))
    assert pairs_of(ds) == words(PAIRS)
    assert ds.meta["merged_duplicates"] == 2


def test_a_k_core_keeps_ids_and_rows_together(tmp_path: Path) -> None:
    pairs = [*PAIRS, (99, 0)]
    few = [(u, i) for u, i in pairs if i not in (2, 7) or u == 0]
    ds = table_case(tmp_path, few, how=Preparation(k_core=2, new_items=0.3))
    assert ds.item_ids is not None
    assert ds.user_ids is None
    assert {"2", "7"}.isdisjoint(ds.item_ids.tolist())
    assert np.array_equal(ds.features["image"], FEATURES["image"][ds.item_ids.astype(int)])
    assert pairs_of(ds) == {(u, i) for u, i in words(few) if u != "99" and i not in ("2", "7")}
    assert ds.meta["k_core"] == 2
    with pytest.raises(DataError, match="no user and item has 50 pairs"):
        table_case(tmp_path, few, how=Preparation(k_core=50))


def test_modalities_are_chosen_and_ordered(tmp_path: Path) -> None:
    assert table_case(tmp_path, how=Preparation(modalities=("text", "image"))).modalities == ("text", "image")
    assert table_case(tmp_path, how=Preparation(modalities=("text",))).modalities == ("text",)
    with pytest.raises(ModalityError, match="modalities: expected names among image, text, got sound"):
        table_case(tmp_path, how=Preparation(modalities=("sound",)))


def test_half_precision_and_its_limit(tmp_path: Path) -> None:
    ds = table_case(tmp_path, how=Preparation(half=True))
    assert {rows.dtype.name for rows in ds.features.values()} == {"float16"}
    with pytest.raises(ModalityError, match=r"feature_image: half precision holds values up to 65504, got 1e\+06"):
        table_case(tmp_path, features={"image": FEATURES["image"] * 0 + 1e6}, how=Preparation(half=True))


def test_rows_that_mean_missing(tmp_path: Path) -> None:
    image, text = FEATURES["image"].copy(), FEATURES["text"].copy()
    image[2, 1], text[5] = np.nan, 0
    features = {"image": image, "text": text}
    with pytest.raises(ModalityError, match="feature_image: 1 rows hold NaN"):
        table_case(tmp_path, features=features)
    ds = table_case(tmp_path, features=features, how=Preparation(missing_rows=("nan", "zero")))
    assert np.argwhere(~ds.available).tolist() == [[2, 0], [5, 1]]
    assert not ds.features["image"][2].any()
    assert ds.meta["natural_missing"] is True
    assert apply_protocol(ds, "FTFT").available.sum() == 22
    with pytest.raises(SettingsError, match="missing rows: expected nan or zero, got none"):
        table_case(tmp_path, how=Preparation(missing_rows=("none",)))
