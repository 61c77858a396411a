"""Importers give back what was written, and name what is wrong with raw data."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milk_np.data import (
    Dataset,
    Preparation,
    apply_protocol,
    from_dataset,
    from_folder,
    from_milk_folder,
    from_mmrec_folder,
    from_tables,
    make_synthetic,
)
from milk_np.data.detect import detect_format
from milk_np.data.tables import as_integers, read_columns
from milk_np.errors import DataError, MissingExtraError, ModalityError, SettingsError

PAIRS = [(u, i) for u in range(8) for i in range(12) if (u * 5 + i * 3) % 4 < 2]
FEATURES = {
    "image": np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32),
    "text": np.random.default_rng(1).normal(size=(12, 3)).astype(np.float16),
}


def write_table(path: Path, pairs: list[tuple[Any, Any]], header: str = "user,item", sep: str = ",") -> Path:
    lines = [header.replace(",", sep), *(sep.join(map(str, pair)) for pair in pairs)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_features(
    folder: Path, suffix: str = "", features: dict[str, np.ndarray] | None = None
) -> dict[str, Path]:
    paths = {}
    for name, rows in (FEATURES if features is None else features).items():
        paths[name] = folder / f"{name}{suffix}.npy"
        np.save(paths[name], rows)
    return paths


def pairs_of(ds: Dataset) -> set[tuple[str, str]]:
    """Pairs in original ids."""
    users = np.arange(ds.n_users).astype(str) if ds.user_ids is None else ds.user_ids
    items = np.arange(ds.n_items).astype(str) if ds.item_ids is None else ds.item_ids
    return set(zip(users[ds.user].tolist(), items[ds.item].tolist(), strict=True))


def words(pairs: list[tuple[Any, Any]]) -> set[tuple[str, str]]:
    return {(str(u), str(i)) for u, i in pairs}


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
    ds = from_tables(
        write_table(tmp_path / "log.csv", pairs), write_features(tmp_path), item_ids=tmp_path / "ids.txt"
    )
    assert pairs_of(ds) == words(pairs)
    assert sorted(ds.item.tolist()) == sorted(11 - i for _, i in PAIRS)


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    user, item = zip(*PAIRS, strict=True)
    columns = {"item": item, "user": [f"u{u}" for u in user], "price": [0.5] * len(user)}
    parquet.write_table(arrow.table(columns), tmp_path / "log.parquet")
    ds = from_tables(tmp_path / "log.parquet", write_features(tmp_path))
    assert pairs_of(ds) == {(f"u{u}", str(i)) for u, i in PAIRS}


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"log\.parquet: can't be read as Parquet"):
        read_columns(path, ["user"])
    parquet.write_table(arrow.table({"user": [1, None], "item": [0.5, 1.0]}), path)
    with pytest.raises(DataError, match="column 'user' has 1 empty cells"):
        read_columns(path, ["user"])
    with pytest.raises(DataError, match="expected integers or strings in column 'item', got float64"):
        read_columns(path, ["item"])
    with pytest.raises(DataError, match="expected a column 'uid' in the header, got user, item"):
        read_columns(path, ["uid"])


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "log.parquet").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'milk-np\[parquet\]'"):
        read_columns(tmp_path / "log.parquet", ["user"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'user' in the header, got no header"),
        ("user;item\n1;2\n", "expected a column 'user' in the header, got user;item"),
        ("user,item\n", "expected interactions below the header, got none"),
        ("user,item\n1,2\n3\n4,5\n", "line 3 has 1 columns, expected at least 2"),
        ("user,item\n1,2\n3,\n", "an id is empty in or after line 3"),
    ],
)
def test_unfit_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_columns(path, ["user", "item"])
    assert str(path) in str(caught.value)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "log.csv.gz", [(n, n) for n in range(999)])
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"log\.csv\.gz: can't be read"):
        read_columns(table, ["user"])
    (tmp_path / "log.csv").write_bytes(b"user,item\n\xff\xfe,1\n")
    with pytest.raises(DataError, match=r"log\.csv: can't be read .* expected a whole table in UTF-8"):
        read_columns(tmp_path / "log.csv", ["user"])
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_columns(tmp_path / "none.csv", ["user"])


def test_many_chunks_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milk_np.data.tables._CHUNK", 4)
    columns = read_columns(write_table(tmp_path / "log.csv", PAIRS), ["user", "item"])
    assert list(zip(*(columns[c].tolist() for c in ("user", "item")), strict=True)) == PAIRS


@given(
    st.lists(
        st.one_of(st.integers(-5, 10**18).map(str), st.sampled_from(["007", "1.0", "a", "+1", " 1"])),
        min_size=1,
    )
)
def test_integers_are_recognised_only_in_plain_form(column: list[str]) -> None:
    found = as_integers(np.array(column))
    plain = all(word.lstrip("-").isdigit() and str(int(word)) == word for word in column)
    assert (found.dtype == np.int64) == plain
    assert found.astype(str).tolist() == column


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
    with pytest.raises(DataError, match=r"1 items aren't among the item ids \(first p11\)"):
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
    with pytest.raises(
        ModalityError, match=r"feature_image: expected at least 12 rows.*largest id 11.*got 7"
    ):
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
    with pytest.raises(
        DataError, match=r"2 duplicate pairs, first \(user, item\) \(0, 0\), .*--merge-duplicates"
    ):
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
    with pytest.raises(
        ModalityError, match=r"feature_image: half precision holds values up to 65504, got 1e\+06"
    ):
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


def test_a_column_may_bring_the_split(tmp_path: Path) -> None:
    label = {10: "valid", 11: "TEST"}
    write_features(tmp_path)
    rows = [(u, i, label.get(i, "train")) for u, i in PAIRS]
    table = write_table(tmp_path / "interactions.csv", rows, "user,item,part")
    ds = from_folder(tmp_path, split_col="part")
    assert ds.item_split.tolist() == [0] * 10 + [1, 2]
    assert "split_seed" not in ds.meta
    again = from_folder(tmp_path, Preparation(new_items=0.5), split_col="part")
    assert (again.item_split > 0).sum() == 6
    assert again.meta["notes"] == ["the data's own split was replaced"]
    write_table(table, [(u, i, "train" if u else "test") for u, i in PAIRS], "user,item,part")
    with pytest.raises(DataError, match="column 'part' isn't a split of new items"):
        from_folder(tmp_path, split_col="part")
    write_table(table, [(u, i, "dev") for u, i in PAIRS], "user,item,part")
    with pytest.raises(DataError, match=r"expected train, valid and test .* got 'dev'"):
        from_folder(tmp_path, split_col="part")


def test_a_folder_takes_its_name_and_every_modality(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    write_table(folder / "interactions.tsv.gz", [(u, f"p{i}") for u, i in PAIRS], sep="\t")
    write_features(folder)
    (folder / "item_ids.txt").write_text("\n".join(f"p{i}" for i in range(12)))
    ds = from_folder(folder)
    assert (ds.name, ds.modalities) == ("shop", ("image", "text"))
    assert from_folder(folder, Preparation(name="mine")).name == "mine"
    write_table(folder / "interactions.csv", PAIRS)
    with pytest.raises(
        DataError, match=r"expected one table of interactions, got interactions\.csv, interactions\.tsv"
    ):
        from_folder(folder)


def milk_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_features(folder, "_feat")
    for name, items in (("train", range(9)), ("val", [9]), ("test", [10])):
        lines = [f"{u} " + " ".join(str(i) for v, i in PAIRS if v == u and i in items) for u in range(8)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    np.save(folder / "cold_item_index.npy", np.array([9, 10, 11]))
    np.save(folder / "cold_missing_item_index.npy", np.array([10]))
    return folder


def test_the_authors_folder(tmp_path: Path) -> None:
    ds = from_milk_folder(milk_folder(tmp_path / "baby"))
    assert ds.name == "baby"
    assert pairs_of(ds) == {(u, i) for u, i in words(PAIRS) if i != "11"}
    assert ds.item_split.tolist() == [0] * 9 + [1, 2, 2]
    assert ds.meta["notes"] == ["left aside cold_missing_item_index.npy: draw masks with --protocol"]
    assert np.array_equal(ds.features["image"], FEATURES["image"])


def test_the_authors_folder_without_an_index(tmp_path: Path) -> None:
    folder = milk_folder(tmp_path)
    (folder / "cold_item_index.npy").unlink()
    (folder / "val.txt").rename(folder / "valid.txt")
    assert from_milk_folder(folder).item_split.tolist() == [0] * 9 + [1, 2, 0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.txt", None, r"no file train\.txt"),
        ("test.txt", "", r"test\.txt: expected lines 'user item item \.\.\.', got none"),
        ("val.txt", "0 9\n1 nine\n", r"val\.txt: line 2: expected integers, got b'1 nine"),
        ("val.txt", "0 10\n", r"1 items are in val\.txt and test\.txt \(first 10\)"),
        (
            "val.txt",
            "0 8\n",
            r"1 items of val\.txt and test\.txt aren't in cold_item_index\.npy\s*\(first 8\)",
        ),
        ("val.txt", "0 -9\n", "expected ids from 0"),
        ("train.txt", "0 1 9\n", r"1 new items are in train\.txt \(first 9\)"),
        ("train.txt", "0 1 17\n", "feature_image: expected at least 18 rows"),
        ("train.txt", "0 1 1\n", "1 duplicate pairs"),
        (
            "cold_item_index.npy",
            np.array([9, 10, 99]),
            r"cold_item_index\.npy: expected a 1-D array of item ids below",
        ),
    ],
)
def test_unfit_folders_of_the_authors_are_refused(
    tmp_path: Path, file: str, content: Any, message: str
) -> None:
    folder = milk_folder(tmp_path)
    if content is None:
        (folder / file).unlink()
    elif isinstance(content, str):
        (folder / file).write_text(content)
    else:
        np.save(folder / file, content)
    with pytest.raises(DataError, match=message) as caught:
        from_milk_folder(folder)
    assert str(folder) in str(caught.value)


def mmrec_folder(folder: Path, label: dict[int, int] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    write_features(folder, "_feat")
    rows = [(u, i, 5.0, 0, (label or {}).get(i, 0 if label else (u + i) % 3)) for u, i in PAIRS]
    write_table(folder / "toys.inter", rows, "userID,itemID,rating,timestamp,x_label", sep="\t")
    return folder


def test_mmrec_with_its_usual_labels_gets_new_items(tmp_path: Path) -> None:
    ds = from_mmrec_folder(mmrec_folder(tmp_path))
    assert ds.name == "toys"
    assert pairs_of(ds) == words(PAIRS)
    assert (ds.item_split > 0).sum() == 2
    assert "new items were drawn" in ds.meta["notes"][0]


def test_mmrec_with_labels_that_hide_items_keeps_them(tmp_path: Path) -> None:
    ds = from_mmrec_folder(mmrec_folder(tmp_path, {4: 1, 7: 2}))
    assert np.flatnonzero(ds.item_split).tolist() == [4, 7]
    assert "notes" not in ds.meta


def test_unfit_mmrec_folders_are_refused(tmp_path: Path) -> None:
    folder = mmrec_folder(tmp_path)
    write_table(folder / "toys.inter", PAIRS, "who,itemID", sep="\t")
    with pytest.raises(DataError, match=r"toys\.inter: expected a column userID in the header, got itemID"):
        from_mmrec_folder(folder)
    write_table(folder / "toys.inter", [(u, i, 9) for u, i in PAIRS], "userID,itemID,x_label", sep="\t")
    with pytest.raises(DataError, match=r"x_label: expected 0 \(train\)"):
        from_mmrec_folder(folder)
    (folder / "toys.inter").unlink()
    with pytest.raises(DataError, match=r"expected one file NAME\.inter, got none"):
        from_mmrec_folder(folder)


def test_a_data_set_prepared_again_stays_the_same(tmp_path: Path) -> None:
    ds = apply_protocol(make_synthetic(60, 50, 400), "MTMT")
    path = ds.save(tmp_path / "set.npz")
    again = from_dataset(path)
    assert again.content_hash == ds.content_hash
    assert again.meta == ds.meta
    one = from_dataset(path, Preparation(modalities=("text", "image", "audio")))
    assert np.array_equal(one.available[:, 0], ds.available[:, 1])


def test_a_data_set_split_again_loses_its_mask_and_says_so(tmp_path: Path) -> None:
    ds = apply_protocol(make_synthetic(60, 50, 400), "MTMT")
    again = from_dataset(ds.save(tmp_path / "set"), Preparation(new_items=0.4, split_seed=3, k_core=2))
    assert again.available.all()
    assert "protocol" not in again.meta
    assert (again.item_split > 0).sum() == round(0.4 * again.n_items)
    assert any("mask of MTMT was dropped" in note for note in again.meta["notes"])


def test_users_without_pairs_are_kept(tmp_path: Path) -> None:
    ds = make_synthetic(60, 50, 400)
    keep = ds.user != 59
    fewer = Dataset(
        ds.user[keep], ds.item[keep], ds.split[keep], ds.item_split, ds.modalities, ds.features, ds.available,
        meta={"n_users": 60},
    )  # fmt: skip
    assert from_dataset(fewer.save(tmp_path / "set.npz")).n_users == 60


def test_kinds_of_sources_are_told_apart(tmp_path: Path) -> None:
    assert detect_format(milk_folder(tmp_path / "a")) == "milk"
    assert detect_format(mmrec_folder(tmp_path / "b")) == "mmrec"
    (tmp_path / "c").mkdir()
    write_table(tmp_path / "c" / "interactions.csv", PAIRS)
    assert detect_format(tmp_path / "c") == "folder"
    assert detect_format(tmp_path / "c" / "interactions.csv") == "table"
    assert detect_format(make_synthetic(60, 50, 400).save(tmp_path / "d")) == "data"
    (tmp_path / "x.npz").touch()
    assert detect_format(tmp_path / "x.npz") == "data"
    (tmp_path / "x.mat").touch()
    for bad, message in (
        ("x.mat", r"expected a file ending in \.npz"),
        ("none", "no such file"),
        (".", "got none"),
    ):
        with pytest.raises(DataError, match=message):
            detect_format(tmp_path / bad)


@pytest.mark.real
@pytest.mark.parametrize(("name", "sizes"), [("tiktok", (9308, 6710, 68722)), ("lfm2k", (1858, 1425, 56345))])
def test_real_folders(real_data: Path, name: str, sizes: tuple[int, int, int]) -> None:
    ds = from_folder(real_data / name)
    assert (ds.n_users, ds.n_items, len(ds.user)) == sizes
    assert json.dumps(ds.meta)
