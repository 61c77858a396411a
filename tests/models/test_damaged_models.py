"""A model's file with arrays of other types, shapes and ranges: an error that names it, never a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import cases, small_set
from identity_cases import Shop
from test_on_data import MODELS

from milk_np.data import Dataset
from milk_np.errors import DataError, MilkError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.registry import model_class, settings_class
from milk_np.models.stored import StoredModel, load

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    shop = Shop(seed=3)
    return shop.data(shop.users[:60], shop.items[:60])


SYSTEMS = {case.name: case.options for case in cases()}
CLOSED = {"content-knn": {}, "ridge": {}, "svd-ridge": {"dim": 8}, "ials-ridge": {"dim": 8}, "feature-ials": {"dim": 8}}
OTHERS: dict[str, dict[str, Any]] = {**SYSTEMS, **CLOSED, "marec": {}}


@pytest.fixture(scope="module", params=[*MODELS, *OTHERS])
def saved(request: pytest.FixtureRequest, ds: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, name = tmp_path_factory.mktemp("model") / "model.npz", request.param
    make = MODELS.get(name) or (lambda: model_class(name)(settings_class(name)(**OTHERS[name])))
    (make().fit(ds, final=True) if name not in SYSTEMS else make().fit(small_set())).save(path)
    return path


def changed(saved: Path, path: Path, **changes: Any) -> Path:
    arrays, meta = read_npz(saved, "model")
    write_npz_atomic(path, {**arrays, **changes}, meta)
    return path


def test_a_whole_file_passes(saved: Path, tmp_path: Path) -> None:
    load(changed(saved, tmp_path / "model.npz"))


def test_ids_out_of_range_never_reach_a_kernel(saved: Path, tmp_path: Path) -> None:
    arrays, _ = read_npz(saved, "model")
    seen, offsets, split = arrays["seen_items"], arrays["seen_indptr"], arrays["item_split"]
    wrong: list[tuple[str, Any]] = [
        ("seen_items", np.where(seen == seen.max(), 2**30, seen)),
        ("seen_items", seen - 1 - seen.min()),
        ("seen_items", seen.astype(np.float32)),
        ("seen_items", seen[:-1]),
        ("seen_indptr", offsets[::-1]),
        ("seen_indptr", offsets + 1),
        ("seen_indptr", offsets * 2**40),
        ("seen_indptr", offsets[:0]),
        ("item_split", np.full_like(split, 200)),
        ("item_split", split[:-1]),
        ("items", arrays["items"][:-1]),
        ("items", arrays["items"][0]),
        ("items", np.full_like(arrays["items"], np.nan)),
        ("items", arrays["items"].astype("c8")),
        ("items", arrays["items"].astype(">f4")),
        ("trained", np.ones(3, np.bool_)),
        ("user_ids", np.array(["a"])),
        ("item_ids", np.arange(len(split))),
        ("imputer_widths", np.array([2**40, 1])),
    ]
    for name, array in wrong:
        path = changed(saved, tmp_path / "model.npz", **{name: array})
        with pytest.raises(DataError, match=r"model\.npz: entry '.*expected .*, got "):
            load(path)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "shorter": lambda x: x[:-1],
    "none": lambda x: x[:0],
    "narrower": lambda x: x[..., :-1],
    "deeper": lambda x: x[None],
    "text": lambda x: np.full(x.shape, "x"),
    "dates": lambda x: np.zeros(x.shape, "M8[s]"),
    "records": lambda x: np.zeros(x.shape, "f4,i4"),
    "huge": lambda x: np.full(x.shape, 2**31 - 1 if x.dtype.kind in "iu" and x.dtype.itemsize > 2 else 1, x.dtype),
    "infinite": lambda x: np.full_like(x, np.inf if x.dtype.kind == "f" else 0),
}


def loaded(path: Path) -> tuple[StoredModel | None, str]:
    """The model, or what an error said."""
    try:
        return load(path), ""
    except MilkError as error:
        return None, str(error)


@pytest.mark.parametrize("how", CHANGES)
def test_any_change_of_any_array_is_an_error_or_does_no_harm(saved: Path, tmp_path: Path, how: str) -> None:
    arrays, _ = read_npz(saved, "model")
    for name, array in arrays.items():
        if array.ndim == 0 and how in ("shorter", "none", "narrower"):
            continue
        path = changed(saved, tmp_path / "model.npz", **{name: CHANGES[how](array)})
        model, said = loaded(path)
        assert said.startswith(str(path)) or model is not None
        with np.errstate(all="ignore"):
            if model is not None:
                model.recommend(k=2, candidates="all")


def test_a_file_without_an_array_names_it(saved: Path, tmp_path: Path) -> None:
    arrays, meta = read_npz(saved, "model")
    del arrays["seen_items"]
    write_npz_atomic(tmp_path / "model.npz", arrays, meta)
    with pytest.raises(DataError, match=r"model\.npz: entry 'seen_items' is missing"):
        load(tmp_path / "model.npz")
