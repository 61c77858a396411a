"""Items without pairs are new items: recommended, but not trained on, drawn as negatives, masked or evaluated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import small_arrays
from raw_cases import FEATURES, PAIRS, write_features, write_table

from milk_np import evaluate
from milk_np.data import Dataset, Preparation, from_dataset, from_tables, make_mask, make_synthetic
from milk_np.data.arrays import Split
from milk_np.experiments.runs import drawn
from milk_np.models.registry import make_model
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.recommend import recommend
from milk_np.settings.shared import Settings
from milk_np.training.sampler import usable_pairs


def lonely(pairs: list[tuple[int, int]] = PAIRS) -> list[tuple[int, int]]:
    """Pairs that leave out items 3 and 11."""
    return [(u, i) for u, i in pairs if i not in (3, 11)]


@pytest.fixture
def ds(tmp_path: Path) -> Dataset:
    table = write_table(tmp_path / "log.csv", lonely())
    return from_tables(table, write_features(tmp_path), Preparation(new_items=0.4))


def test_items_of_the_catalogue_that_nobody_chose_are_new(ds: Dataset) -> None:
    assert ds.new_items(Split.UNSEEN).tolist() == [3, 11]
    assert {3, 11}.isdisjoint(ds.train_items.tolist())
    assert {3, 11} <= set(ds.new_items().tolist())
    assert {3, 11}.isdisjoint(ds.evaluated_items.tolist())
    assert {3, 11} <= set(Catalogue.of(ds).new_items().tolist())


def test_they_are_recommended_but_no_negatives_and_not_evaluated(ds: Dataset) -> None:
    model = make_model(Settings(model="profile")).fit(ds)
    lists = recommend(model, ds, k=len(ds.new_items()))
    assert {3, 11} <= set(lists.found[0].tolist())
    for negatives in ("train", "all"):
        assert {3, 11}.isdisjoint(usable_pairs(ds, negatives)[0].tolist())
    assert evaluate(model, ds, topk=(1,)).n_candidates == len(ds.evaluated_items) == 4


def test_a_protocol_leaves_their_modalities() -> None:
    item_split = np.array([0] * 5 + [1] * 5 + [2] * 5 + [3] * 5, np.uint8)
    mask = make_mask(item_split, 2, "MTMT", missing_train=1, missing_test=1)
    assert mask.all(axis=1).tolist() == [False] * 15 + [True] * 5


def test_statistics_tell_of_them(ds: Dataset) -> None:
    lines = [line.split() for line in ds.statistics().splitlines()]
    assert ["new", "without", "pairs", "0", "2", "0"] in lines
    assert ["image", "4", "float32", "0", "0", "0", "0"] in lines
    assert "no pair: negatives only" not in ds.statistics()


@pytest.mark.parametrize("name", ["set.npz", "set"])
def test_they_are_stored(ds: Dataset, tmp_path: Path, name: str) -> None:
    loaded = Dataset.load(ds.save(tmp_path / name))
    assert loaded.content_hash == ds.content_hash
    assert loaded.new_items(3).tolist() == [3, 11]


def version_one(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A file of version 1, in which an item without pairs is a training item."""
    made = small_arrays()
    keep = made["item"] != 2
    made |= {key: made[key][keep] for key in ("user", "item", "split")}
    features = {f"feature_{name}": rows for name, rows in made["features"].items()}
    others = {key: made[key] for key in ("user", "item", "split", "item_split", "available")}
    names = np.array(made["modalities"])
    meta = {"format": 1, "n_users": 12, "content_hash": Dataset(**made).content_hash}
    np.savez(tmp_path / "old.npz", modalities=names, meta=np.array(json.dumps(meta)), **features, **others)
    return tmp_path / "old.npz", made


def test_a_file_of_version_1_loads_as_it_is(tmp_path: Path) -> None:
    path, made = version_one(tmp_path)
    ds = Dataset.load(path)
    assert ds.item_split.tolist() == made["item_split"].tolist()
    assert "arrays were changed" not in ds.statistics()
    assert "1 training item has no pair: negatives only; prepare the data again" in ds.statistics()
    assert drawn(path, 0.5, 1).item_split[2] == Split.TRAIN  # earlier results of experiments keep their meaning


def test_preparing_a_file_of_version_1_again_makes_such_items_new(tmp_path: Path) -> None:
    path, made = version_one(tmp_path)
    ds = from_dataset(path)
    assert ds.new_items(3).tolist() == [2]
    assert np.array_equal(np.delete(ds.item_split, 2), np.delete(made["item_split"], 2))
    assert drawn(ds.save(tmp_path / "new.npz"), 0.5, 1).item_split[2] == Split.UNSEEN


def test_a_set_may_give_up_no_items(tmp_path: Path) -> None:
    rows = [(u, i, "train") for u, i in PAIRS]
    table = write_table(tmp_path / "log.csv", rows, "user,item,part")
    ds = from_tables(table, write_features(tmp_path), split_col="part")
    assert len(ds.train_items) == ds.n_items == len(FEATURES["image"])
    assert "can't be evaluated on new items" in ds.statistics()
    loaded = Dataset.load(ds.save(tmp_path / "all.npz"))
    assert len(loaded.user) == len(PAIRS)


def test_a_set_without_items_to_evaluate_says_so() -> None:
    ds = make_synthetic(30, 40, 300, {"image": 4}, seed=1)
    everything = replace(ds, item_split=np.where(ds.item_split == 3, 3, 0), split=np.zeros_like(ds.split))
    model = make_model(Settings(model="profile")).fit(everything)
    with pytest.raises(ValueError, match="at most 0"):
        evaluate(model, everything)
