"""milk-recommend --fresh: new items are pooled with the catalogue's."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from shop_cases import IDS, ROWS, Call, Shop, npz, pooled, rejects, text

from milk_np.cli import recommend


def test_fresh_items_are_ranked_with_the_new_ones_for_users(shop: Shop, call: Call, tmp_path: Path) -> None:
    found = call("--users", "u5,u2", "--fresh", npz(tmp_path), "--topk", "25")
    assert found.code == 0
    lists = found.lists()
    for user in (5, 2):
        assert lists[f"u{user}"] == pooled(shop, shop.model.user_factors(np.array([user], np.int32))[0], 25)
    assert set(lists["u5"]) & set(IDS)
    assert set(lists["u5"]) - set(IDS)


def test_the_same_on_data_given_by_hand(shop: Shop, call: Call, tmp_path: Path) -> None:
    line = ["--users", "u5,u2", "--fresh", npz(tmp_path), "--topk", "25"]
    assert call(*line, "--data", shop.data.data).lists() == call(*line).lists()


def test_a_model_without_training_pools_too(shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["--model", "profile", "--data", shop.data.data, "--fresh", npz(tmp_path), "--topk", "60"]
    old = ",".join(f"i{j}" for j in shop.data.ds.train_items[:2])
    assert recommend.main([*line, "--history", old]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["item"] for row in rows} == {*IDS, *(f"i{j}" for j in shop.data.ds.new_items())}


def test_fresh_items_are_ranked_with_the_new_ones_for_a_history(shop: Shop, call: Call, tmp_path: Path) -> None:
    file = text(tmp_path / "guests.txt", "i1,i4,f2", "i7")
    found = call("--history", file, "--fresh", npz(tmp_path), "--topk", "25").lists("history")
    first, second = shop.model.encode_users([np.array([1, 4]), np.array([7])])
    assert found == {"1": pooled(shop, first, 25, {"f2"}), "2": pooled(shop, second, 25)}


def test_fresh_items_are_similar_and_have_similar_ones(shop: Shop, call: Call, tmp_path: Path) -> None:
    found = call("--similar", "i4,f1", "--fresh", npz(tmp_path), "--topk", "124").lists("item", "similar")
    everything = np.arange(shop.data.ds.n_items)
    vectors = np.vstack([shop.model.item_factors(everything), shop.model.encode_items(ROWS)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [*(f"i{j}" for j in everything), *IDS]
    for name in ("i4", "f1"):
        cosine = unit @ unit[names.index(name)]
        best = [names[n] for n in np.argsort(-cosine, kind="stable") if names[n] != name]
        assert found[name][:30] == best[:30]
        assert len(found[name]) == len(names) - 1


def test_users_for_fresh_items(shop: Shop, call: Call, tmp_path: Path) -> None:
    file = npz(tmp_path)
    found = call("--fresh", file, "--topk", "4").lists("item", "user")
    scores = shop.model.encode_items(ROWS) @ shop.model.user_factors().T
    assert found == {name: [f"u{n}" for n in np.argsort(-row)[:4]] for name, row in zip(IDS, scores, strict=True)}
    assert call("--fresh", file, "--topk", "4", "--items", "f2,i3").lists("item", "user")["f2"] == found["f2"]


def test_a_folder_and_parquet_are_read_like_an_archive(shop: Shop, call: Call, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    image = ROWS["image"].copy()
    image[3] = np.nan
    rows = {"image": image, "text": ROWS["text"]}
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, array in rows.items():
        np.save(folder / f"{name}.npy", array)
    text(folder / "item_ids.txt", *IDS)
    cells = {name: array.tolist() for name, array in rows.items()}
    cells["image"][3] = None  # type: ignore[call-overload]
    parquet.write_table(arrow.table({"item": IDS, "title": ["a"] * 4, **cells}), tmp_path / "fresh.parquet")
    line = ["--users", "u5", "--topk", "60", "--fresh"]
    expected = call(*line, npz(tmp_path, **rows)).rows
    assert call(*line, str(folder)).rows == expected
    assert call(*line, str(tmp_path / "fresh.parquet")).rows == expected
    assert call("--new-item", str(folder), "--users", "u5").lists()["u5"] == [
        row["item"] for row in expected if row["item"] in IDS
    ]


def test_fresh_items_that_fail_do_not_stop_the_others(shop: Shop, call: Call, tmp_path: Path) -> None:
    image, words = np.repeat(ROWS["image"][:1], 6, axis=0), np.repeat(ROWS["text"][:1], 6, axis=0)
    image[1], words[1] = np.nan, np.nan
    image[2, 3] = np.inf
    file = npz(tmp_path, ["a", "none", "torn", "a", "i3", "b"], image=image, text=words)
    out = tmp_path / "rejects.csv"
    found = call("--users", "u5", "--fresh", file, "--topk", "60", "--rejects", str(out))
    assert found.code == 3
    assert set(found.lists()["u5"]) - {f"i{j}" for j in shop.data.ds.new_items()} == {"a", "b"}
    assert [(row["file"], row["row"], row["kind"], row["id"]) for row in rejects(out)] == [
        (file, "2", "item", "none"),
        (file, "3", "item", "torn"),
        (file, "4", "item", "a"),
        (file, "5", "item", "i3"),
    ]
    reasons = [row["reason"] for row in rejects(out)]
    for said, expected in zip(reasons, ("has none of", "of image holds NaN", "given twice", "already"), strict=True):
        assert expected in said
    assert "left out 4 of kind item" in found.err


def test_fresh_items_need_ids_where_the_data_have_some(call: Call, tmp_path: Path) -> None:
    found = call("--users", "u5", "--fresh", npz(tmp_path, None))
    assert (found.code, found.rows) == (3, [])
    assert "fresh.npz: has no item_ids" in found.err
