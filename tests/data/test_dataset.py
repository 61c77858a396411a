"""A data set gives its parts in order, and refuses arrays that don't fit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data_cases import datasets, small, small_arrays
from hypothesis import given

from milk_np.data import Dataset
from milk_np.errors import DataError, ModalityError, SettingsError


@given(datasets())
def test_interactions_are_sorted_and_complete(ds: Dataset) -> None:
    for split in (0, 1, 2):
        user, item = ds.interactions(split)
        assert user.dtype == item.dtype == np.int32
        expected = sorted((int(u), int(i)) for u, i, s in zip(ds.user, ds.item, ds.split, strict=True) if s == split)
        assert list(zip(user.tolist(), item.tolist(), strict=True)) == expected


@given(datasets())
def test_csr_holds_each_users_items_ascending(ds: Dataset) -> None:
    indptr, indices = ds.csr(0)
    assert (indptr.dtype, indices.dtype, len(indptr)) == (np.int64, np.int32, ds.n_users + 1)
    for u in range(ds.n_users):
        row = indices[indptr[u] : indptr[u + 1]]
        assert row.tolist() == sorted(ds.item[(ds.user == u) & (ds.split == 0)].tolist())


def test_new_items_by_split() -> None:
    ds = small()
    assert ds.train_items.tolist() == list(range(6))
    assert [ds.new_items(s).tolist() for s in (None, 1, 2)] == [[6, 7, 8, 9], [6, 7], [8, 9]]
    assert ds.new_items(3).tolist() == []
    for bad in (0, 4):
        with pytest.raises(SettingsError, match="expected 1"):
            ds.new_items(bad)
    with pytest.raises(SettingsError, match="expected 0"):
        ds.interactions(3)


def test_numbers_of_users_come_from_ids_then_meta_then_pairs() -> None:
    made = small_arrays()
    highest = int(made["user"].max())
    assert Dataset(**made | {"meta": {}}).n_users == highest + 1
    assert Dataset(**made | {"meta": {"n_users": 40}}).n_users == 40
    ids = np.arange(50).astype(str)
    assert Dataset(**made | {"meta": {"n_users": 40}, "user_ids": ids}).n_users == 50


def test_arrays_are_converted_to_their_types() -> None:
    made = small_arrays()
    made["user"] = made["user"].astype(np.int64)
    made["available"] = made["available"].astype(np.int8)
    made["features"]["m0"] = np.asfortranarray(made["features"]["m0"].astype(np.float64))
    ds = Dataset(**made)
    assert ds.user.dtype == np.int32
    assert ds.available.dtype == np.bool_
    assert ds.features["m0"].dtype == np.float32
    assert ds.features["m0"].flags.c_contiguous


def test_features_are_not_copied() -> None:
    made = small_arrays(dtype=np.float16)
    ds = Dataset(**made)
    masked = ds.with_available(np.ones((10, 2), dtype=bool), {"protocol": "FTFT"})
    for name in ds.modalities:
        assert ds.features[name] is made["features"][name]
        assert masked.features[name] is ds.features[name]
    assert masked.meta["protocol"] == "FTFT"
    assert "protocol" not in ds.meta


def changed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda made: made.update({key: value})


def set_at(key: str, index: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        made[key][index] = value

    return change


def feature(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda made: made["features"].update({name: value})


def repeat_pair(made: dict[str, Any]) -> None:
    for key in ("user", "item", "split"):
        made[key] = np.append(made[key], made[key][:2])


def spoil(made: dict[str, Any]) -> None:
    made["features"]["m1"][3, 1] = np.nan
    made["features"]["m1"][7, 0] = np.inf


def leak(made: dict[str, Any]) -> None:
    made["split"][made["item"] == 9] = 0


def hold_out(made: dict[str, Any]) -> None:
    made["split"][made["item"] == 0] = 1


def empty(made: dict[str, Any]) -> None:
    for key in ("user", "item", "split"):
        made[key] = made[key][:0]


BAD: dict[str, tuple[Callable[[dict[str, Any]], None], type[DataError], str]] = {
    "float ids": (changed("user", np.zeros(5)), DataError, "user: expected a 1-D integer array, got float64"),
    "ids in a matrix": (changed("item", np.zeros((5, 1), int)), DataError, r"item: .* shape \(5, 1\)"),
    "negative id": (set_at("user", 0, -1), DataError, "user: expected ids from 0 .* got -1 at position 0"),
    "item out of range": (
        set_at("item", 3, 10),
        DataError,
        "item: expected ids below 10 .* got 10 at position 3",
    ),
    "user out of range": (
        changed("meta", {"n_users": 2}),
        DataError,
        "user: expected ids below 2 .*meta n_users",
    ),
    "silly number of users": (
        changed("meta", {"n_users": "many"}),
        DataError,
        "n_users: expected a positive",
    ),
    "short item": (changed("item", np.zeros(3, int)), DataError, "expected equal lengths"),
    "short split": (changed("split", np.zeros(3, int)), DataError, "split: expected one value per pair"),
    "split of 3": (set_at("split", 0, 3), DataError, r"split: expected 0 \(train\).*got 3 at position 0"),
    "item_split of 7": (set_at("item_split", 0, 7), DataError, "item_split: expected 0 .*3 .without pairs., got 7"),
    "no items": (changed("item_split", np.zeros(0, np.uint8)), DataError, "item_split: expected one value"),
    "pair of an item without pairs": (
        set_at("item_split", 0, 3),
        DataError,
        r"training pairs are on new items \(first items 0",
    ),
    "no training item": (changed("item_split", np.ones(10, np.uint8)), DataError, "expected training items"),
    "no pair": (empty, DataError, r"split: expected training pairs \(0\), got none"),
    "pair on a new item in training": (leak, DataError, r"training pairs are on new items \(first items 9"),
    "held-out pair of a training item": (
        hold_out,
        DataError,
        "item 0 is train in item_split, valid in split",
    ),
    "duplicates": (repeat_pair, DataError, r"2 duplicate pairs.*--merge-duplicates"),
    "no modality": (changed("modalities", ()), ModalityError, "at least one name"),
    "odd name": (changed("modalities", ("m0", "a/b")), ModalityError, "got 'a/b'"),
    "name twice": (changed("modalities", ("m0", "m0")), ModalityError, "distinct names"),
    "features absent": (changed("features", {}), ModalityError, "expected arrays for m0, m1, got none"),
    "few rows": (
        feature("m1", np.ones((9, 3))),
        ModalityError,
        "feature_m1: expected 10 rows.*got 9; give the",
    ),
    "many rows": (feature("m1", np.ones((11, 3))), ModalityError, "expected 10 rows.*got 11; drop"),
    "flat features": (feature("m0", np.ones(10)), ModalityError, "feature_m0: expected a 2-D"),
    "whole numbers": (
        feature("m0", np.ones((10, 2), int)),
        ModalityError,
        "feature_m0: expected a 2-D float",
    ),
    "no width": (feature("m0", np.ones((10, 0))), ModalityError, "feature_m0: expected a 2-D float"),
    "not finite": (
        spoil,
        ModalityError,
        r"feature_m1: 2 rows hold NaN or infinite values \(first rows 3, 7\)",
    ),
    "too large": (
        feature("m0", np.full((10, 2), 1e300)),
        ModalityError,
        "feature_m0: 10 rows .*0, 1, 2, 3, 4, ...",
    ),
    "mask of another shape": (
        changed("available", np.ones((10, 3), bool)),
        ModalityError,
        r"shape \(10, 2\)",
    ),
    "mask of floats": (changed("available", np.ones((10, 2))), ModalityError, "available: expected booleans"),
    "nothing left": (set_at("available", 5, False), ModalityError, r"1 items miss all of m0, m1 \(first 5\)"),
    "few user ids": (
        changed("user_ids", np.array(["a"])),
        DataError,
        "user: expected ids below 1 .*user_ids",
    ),
    "few item ids": (changed("item_ids", np.array(["a"])), DataError, "item_ids: expected 10 ids, got 1"),
    "item ids twice": (changed("item_ids", np.array(["a"] * 10)), DataError, "9 repeated"),
    "ids of floats": (
        changed("item_ids", np.ones(10)),
        DataError,
        "item_ids: expected a 1-D array of strings",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_do_not_fit_are_refused(case: str) -> None:
    change, error, message = BAD[case]
    made = small_arrays()
    change(made)
    with pytest.raises(error, match=message):
        Dataset(**made)


def test_a_mask_is_checked_too() -> None:
    with pytest.raises(ModalityError, match="miss all"):
        small().with_available(np.zeros((10, 2), dtype=bool))


def test_statistics_tell_sizes_and_surprises() -> None:
    made = small_arrays()
    made["meta"] = {"name": "odd", "n_users": 20, "protocol": "FTMT", "notes": ["something was left aside"]}
    made["features"]["m0"][2] = 0
    made["features"]["m1"][4] = 3
    made["available"][0, 1] = False
    text = Dataset(**made).statistics()
    n_alone = 20 - len(np.unique(made["user"][made["split"] == 0]))
    for line in (
        "odd",
        "20 users, 10 items",
        "m0                         4   float32",
        "1 of 2",
        "Protocol FTMT",
        "something was left aside",
        f"{n_alone} users have no training pair",
        "1 row of m0 is all zero: similarity is undefined",
        "1 row of m1 has the same value in every column",
    ):
        assert line in text


def test_statistics_warn_only_of_rows_that_are_available() -> None:
    made = small_arrays()
    made["available"][:] = True
    made["features"]["m0"][[2, 3, 5]] = 0
    made["features"]["m1"][[4, 6]] = 3
    assert "3 rows of m0 are all zero" in Dataset(**made).statistics()
    made["available"][[2, 3, 5], 0] = False
    made["available"][6, 1] = False
    text = Dataset(**made).statistics()
    assert "all zero" not in text
    assert "1 row of m1 has the same value" in text


def test_statistics_warn_of_pairs_that_can_have_no_negative() -> None:
    made = small_arrays()
    assert "every training item" not in Dataset(**made).statistics()
    items = np.flatnonzero(made["item_split"] == 0).astype(np.int32)
    rest = made["split"] != 0
    made["user"] = np.concatenate([np.zeros(len(items), np.int32), made["user"][rest]])
    made["item"] = np.concatenate([items, made["item"][rest]])
    made["split"] = np.concatenate([np.zeros(len(items), np.int8), made["split"][rest]])
    text = Dataset(**made).statistics()
    assert f"{len(items)} training pairs of users with every training item: left out" in text


def test_statistics_count_missing_items_by_split() -> None:
    lines = small().statistics().splitlines()
    assert next(line.split() for line in lines if line.startswith("m0")) == [
        "m0",
        "4",
        "float32",
        "1",
        "0",
        "1",
    ]
    assert next(line.split() for line in lines if "1 of 2" in line) == ["1", "of", "2", "1", "1", "1"]
    assert not any("Warnings" in line for line in lines) or "no training pair" in "".join(lines)


def test_statistics_notice_changed_contents() -> None:
    made = small_arrays()
    made["meta"]["content_hash"] = Dataset(**made).content_hash
    assert "changed after" not in Dataset(**made).statistics()
    made["features"]["m0"] = made["features"]["m0"] + np.float32(1)
    assert "changed after it was saved" in Dataset(**made).statistics()


@pytest.mark.parametrize("key", ["user", "features", "available", "modalities", "item_ids"])
def test_the_hash_changes_with_each_array(key: str) -> None:
    made = small_arrays()
    made["item_ids"] = np.arange(10).astype(str)
    before = Dataset(**made).content_hash
    assert Dataset(**small_arrays() | {"item_ids": made["item_ids"], "meta": {"n_users": 12}}).content_hash == before
    if key == "user":  # another order of the same pairs is another content
        order = np.arange(len(made["user"]))[::-1]
        made |= {name: made[name][order] for name in ("user", "item", "split")}
    elif key == "features":
        made["features"]["m1"][0, 0] += 1
    elif key == "available":
        made["available"][0, 0] = False
    elif key == "modalities":
        made["modalities"] = ("m0", "n1")
        made["features"]["n1"] = made["features"].pop("m1")
    else:
        made["item_ids"] = np.arange(1, 11).astype(str)
    assert Dataset(**made).content_hash != before
