"""Folders, of other programs too, and data sets that are prepared again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_cases import FEATURES, PAIRS, milk_folder, mmrec_folder, pairs_of, words, write_features, write_table

from milk_np.data import (
    Dataset,
    Preparation,
    apply_protocol,
    from_dataset,
    from_folder,
    from_milk_folder,
    from_mmrec_folder,
    make_synthetic,
)
from milk_np.data.importers.detect import detect_format
from milk_np.errors import DataError, ModalityError


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
    with pytest.raises(DataError, match="split column: expected all pairs of an item in one split"):
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


def test_the_authors_folder(tmp_path: Path) -> None:
    ds = from_milk_folder(milk_folder(tmp_path / "baby"))
    assert ds.name == "baby"
    assert pairs_of(ds) == {(u, i) for u, i in words(PAIRS) if i != "11"}
    assert ds.item_split.tolist() == [0] * 9 + [1, 2, 2]
    assert ds.meta["notes"] == ["ignored cold_missing_item_index.npy: draw masks with --protocol"]
    assert np.array_equal(ds.features["image"], FEATURES["image"])


def test_the_authors_folder_without_an_index(tmp_path: Path) -> None:
    folder = milk_folder(tmp_path)
    (folder / "cold_item_index.npy").unlink()
    (folder / "val.txt").rename(folder / "valid.txt")
    assert from_milk_folder(folder).item_split.tolist() == [0] * 9 + [1, 2, 3]


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
def test_unfit_folders_of_the_authors_are_refused(tmp_path: Path, file: str, content: Any, message: str) -> None:
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


def test_mmrec_without_labels_gets_new_items(tmp_path: Path) -> None:
    folder = mmrec_folder(tmp_path)
    write_table(folder / "toys.inter", PAIRS, "user_id:token,item_id:token", sep="\t")
    ds = from_mmrec_folder(folder)
    assert pairs_of(ds) == words(PAIRS)
    assert "notes" not in ds.meta


def test_unfit_mmrec_folders_are_refused(tmp_path: Path) -> None:
    folder = mmrec_folder(tmp_path)
    write_table(folder / "toys.inter", PAIRS, "who,itemID", sep="\t")
    with pytest.raises(DataError, match=r"toys\.inter: expected a column userID in the header, got itemID"):
        from_mmrec_folder(folder)
    write_table(folder / "toys.inter", [(u, i, 9) for u, i in PAIRS], "userID,itemID,x_label", sep="\t")
    with pytest.raises(DataError, match=r"x_label: expected 0 \(train\)"):
        from_mmrec_folder(folder)
    for file in folder.glob("*_feat.npy"):
        file.unlink()
    with pytest.raises(ModalityError, match=r"no file \*_feat\.npy"):
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
