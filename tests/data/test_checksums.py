"""A bit that flips in a data set is noticed, and its array named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from milk_np.cli import prepare, train
from milk_np.data import Dataset, make_synthetic, write_synthetic
from milk_np.data.checksums import checksum
from milk_np.data.synthetic.planted import Plan
from milk_np.errors import DataError

ARRAYS = ("user", "item", "split", "item_split", "modalities", "feature_image", "feature_text", "available", "user_ids")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ds = make_synthetic(40, 60, 400, {"image": 6, "text": 5}, new_items=0.3, seed=1)
    names = np.array([f"u{n:02}" for n in range(40)])
    return Dataset(**{**vars_of(ds), "user_ids": names}).save(tmp_path / "data")


def vars_of(ds: Dataset) -> dict[str, object]:
    names = ("user", "item", "split", "item_split", "modalities", "features", "available", "meta")
    return {name: getattr(ds, name) for name in names}


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("at", [7, 40, -1])
def test_the_array_is_named(folder: Path, name: str, at: int) -> None:
    Dataset.load(folder)
    flip(folder / f"{name}.npy", at)
    with pytest.raises(DataError, match=rf"{folder}: {name}\.npy: changed since the data set was saved"):
        Dataset.load(folder)


@pytest.mark.parametrize("name", ["user", "feature_text"])
def test_commands_name_it(folder: Path, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flip(folder / f"{name}.npy", -4)
    assert prepare.main(["--info", str(folder)]) == 3
    assert train.main(["--data", str(folder), "--out", str(tmp_path / "run"), "--epochs", "1"]) == 3
    assert capsys.readouterr().err.count(f"{name}.npy: changed since the data set was saved, or damaged") == 2
    assert not (tmp_path / "run").exists()


def test_features_are_left_out_on_demand(folder: Path) -> None:
    flip(folder / "feature_text.npy", -4)
    assert Dataset.load(folder, check_features=False).n_items == 60
    flip(folder / "user.npy", -4)
    with pytest.raises(DataError, match=r"user\.npy: changed"):
        Dataset.load(folder, check_features=False)


def test_sets_written_by_blocks_have_them_too(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "large", Plan(40, 60, 400, {"image": 6}, seed=1))
    assert len(json.loads((tmp_path / "large" / "meta.json").read_text())["checksums"]) == 7
    flip(tmp_path / "large" / "feature_image.npy", -4)
    with pytest.raises(DataError, match=r"feature_image\.npy: changed"):
        Dataset.load(tmp_path / "large")


def test_an_archive_has_its_own(tmp_path: Path) -> None:
    path = make_synthetic(40, 60, 400, {"image": 6}, new_items=0.3, seed=1).save(tmp_path / "data.npz")
    data = path.read_bytes()
    with np.load(path) as archive:
        row = archive["feature_image"][7].tobytes()
    flip(path, data.index(row))
    with pytest.raises(DataError, match=r"array feature_image can.t be read .*CRC"):
        Dataset.load(path)


def test_a_folder_without_checksums_is_read(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    stored = meta.pop("checksums")
    assert set(stored) == set(ARRAYS)
    assert stored["user"] == checksum(folder / "user.npy")
    (folder / "meta.json").write_text(json.dumps(meta))
    assert "checksums" not in Dataset.load(folder).meta
