"""Files come back as they were written; damaged or foreign ones give a data error that names them."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import datasets, small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milk_np.data import Dataset
from milk_np.data import storage as storage_module
from milk_np.errors import DataError, MilkError, ModalityError
from milk_np.files import writing

PER_FUNCTION = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def same(one: Dataset, other: Dataset) -> bool:
    return one.content_hash == other.content_hash and set(one.arrays()) == set(other.arrays())


@settings(PER_FUNCTION, max_examples=30)
@given(ds=datasets(), folder=st.booleans())
def test_round_trip(tmp_path: Path, ds: Dataset, folder: bool) -> None:
    path = ds.save(tmp_path / ("set" if folder else "set.npz"))
    back = Dataset.load(path)
    assert same(ds, back)
    assert back.meta == ds.meta | {"content_hash": ds.content_hash}
    for key, array in ds.arrays().items():
        assert back.arrays()[key].dtype == array.dtype


def test_features_of_a_folder_stay_on_disk(tmp_path: Path) -> None:
    ds = Dataset.load(small().save(tmp_path / "set"))
    assert all(isinstance(rows, np.memmap) for rows in ds.features.values())
    assert isinstance(Dataset.load(tmp_path / "set", check_features=False).features["m0"], np.memmap)


def test_a_set_may_be_saved_over_the_one_it_is_read_from(tmp_path: Path) -> None:
    path = small().save(tmp_path / "set")
    ds = Dataset.load(path)
    ds.with_available(np.ones((10, 2), dtype=bool)).save(path)
    assert Dataset.load(path).available.all()
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_writing_makes_parent_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    small().save(tmp_path / "a" / "set.npz")
    small().save(tmp_path / "b" / "set")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.parent.name in "ab") == ["set", "set.npz"]


@pytest.mark.parametrize("name", ["set.npz", "set"])
def test_a_failed_write_keeps_the_earlier_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small().save(tmp_path / name)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage_module.np, "savez" if name.endswith("npz") else "save", full)
    with pytest.raises(OSError, match="No space"):
        small(seed=1).save(path)
    assert same(Dataset.load(path), small())
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_failed_replacement_of_a_folder_brings_the_earlier_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small().save(tmp_path / "set")
    """Where two folders can't be exchanged at once."""
    rename, calls = os.rename, []

    def fail_third(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(writing, "exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", fail_third)
    with pytest.raises(OSError, match="Input/output"):
        small(seed=1).save(path)
    assert same(Dataset.load(path), small())
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_an_archive_in_the_place_of_an_array_is_refused(tmp_path: Path) -> None:
    path = small().save(tmp_path / "set")
    np.savez(path / "split.npz", split=np.ones(3))
    (path / "split.npz").rename(path / "split.npy")
    with pytest.raises(
        DataError, match=r"split\.npy: (expected one array in \.npy format, got an \.npz|changed since)"
    ):
        Dataset.load(path)


def test_a_folder_of_other_things_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis: exists and isn't a data set"):
        small().save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_meta_has_to_be_json(tmp_path: Path) -> None:
    ds = small()
    ds.meta["odd"] = {1, 2}
    with pytest.raises(DataError, match="meta: expected values that JSON can hold"):
        ds.save(tmp_path / "set.npz")


def written(tmp_path: Path, **changes: Any) -> Path:
    """A stored set with arrays replaced, or removed where the value is None."""
    arrays = small().arrays() | {"meta": np.array(json.dumps({"format": 1}))} | changes
    path = tmp_path / "set.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize("key", ["user", "item", "split", "item_split", "modalities", "available", "meta"])
def test_an_absent_array_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match=rf"set\.npz: no array {key}\b"):
        Dataset.load(written(tmp_path, **{key: None}))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"feature_m1": None}, ModalityError, "no array feature_m1, though modalities lists m1"),
        ({"feature_audio": np.ones((10, 2))}, ModalityError, "feature_audio isn't listed in modalities"),
        (
            {"modalities": np.array([b"m0", b"m1"])},
            ModalityError,
            "modalities: expected a 1-D array of names",
        ),
        (
            {"user": np.array([{}], dtype=object)},
            DataError,
            r"array user can't be read \(it holds pickled objects\)",
        ),
        ({"meta": np.array({"format": 1}, dtype=object)}, DataError, "array meta can't be read"),
        ({"meta": np.array("{format")}, DataError, "meta: expected JSON text"),
        ({"meta": np.array("[1]")}, DataError, 'whole number "format"'),
        ({"meta": np.array('{"format": true}')}, DataError, 'whole number "format"'),
        ({"meta": np.array('{"format": 3}')}, DataError, "format 3 can't be read, expected 1 to 2; a newer"),
        ({"item": np.array([0])}, DataError, "expected equal lengths"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, changes: dict[str, Any], error: type[DataError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Dataset.load(written(tmp_path, **changes))
    assert str(caught.value).startswith(str(tmp_path / "set.npz"))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz: no such file or folder"):
        Dataset.load(tmp_path / "none.npz")


def test_an_empty_folder_and_an_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no meta\.json"):
        Dataset.load(tmp_path)
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(DataError, match=r"no array user, item.*got nothing"):
        Dataset.load(tmp_path / "empty.npz")


@pytest.mark.parametrize("content", [b"", b"user,item\n1,2\n", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04]."])
def test_other_files_are_no_data_set(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"set\.npz: the file can't be read"):
        Dataset.load(path)


def test_a_single_array_is_no_data_set(tmp_path: Path) -> None:
    with (tmp_path / "set.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DataError, match=r"got a single \.npy array"):
        Dataset.load(tmp_path / "set.npz")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Contents of the files of a set: one archive, and a folder."""
    folder = tmp_path_factory.mktemp("intact")
    small().save(folder / "set.npz")
    small().save(folder / "set")
    files = [folder / "set.npz", *sorted((folder / "set").iterdir())]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@PER_FUNCTION
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_gives_a_data_error(tmp_path: Path, intact: dict[str, bytes], share: float) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(intact["set.npz"][: int(share * len(intact["set.npz"]))])
    with pytest.raises(DataError, match=r"set\.npz"):
        Dataset.load(path)


def damage(data: st.DataObject, content: bytes) -> bytes:
    """`content` with a few bytes changed, and perhaps cut short."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))])


def load_or_complain(path: Path) -> None:
    """Load `path`, where an error is fine if it is one of ours and names the path."""
    try:
        Dataset.load(path)
    except MilkError as error:
        if str(path) not in str(error):
            raise


@settings(PER_FUNCTION, max_examples=300)
@given(data=st.data())
def test_damage_gives_an_error_of_ours_or_none(tmp_path: Path, intact: dict[str, bytes], data: st.DataObject) -> None:
    (tmp_path / "set.npz").write_bytes(damage(data, intact["set.npz"]))
    load_or_complain(tmp_path / "set.npz")


@settings(PER_FUNCTION, max_examples=200)
@given(data=st.data())
def test_damage_in_a_folder_gives_an_error_of_ours_or_none(
    tmp_path: Path, intact: dict[str, bytes], data: st.DataObject
) -> None:
    files = {name: content for name, content in intact.items() if name.startswith("set/")}
    spoilt = data.draw(st.sampled_from(sorted(files)))
    (tmp_path / "set").mkdir(exist_ok=True)
    for name, content in files.items():
        (tmp_path / name).write_bytes(damage(data, content) if name == spoilt else content)
    load_or_complain(tmp_path / "set")


def test_a_claim_of_a_huge_array_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i4", "fortran_order": False, "shape": (1 << 50,)})
    path = written(tmp_path, user=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("user.npy", header.getvalue())
    with pytest.raises(MilkError, match=r"set\.npz"):
        Dataset.load(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["lfm2k-ftmt", "lfm2k-mtmt", "tiktok-ftmt"])
def test_the_parity_sets_load(real_data: Path, name: str) -> None:
    ds = Dataset.load(real_data / "parity" / f"{name}.npz")
    assert ds.name == name
    assert len(ds.new_items()) == round(0.2 * ds.n_items)


def test_numbers_of_users_far_beyond_the_pairs_are_refused() -> None:
    """Before memory is taken for them."""
    ds = small()
    for change in (
        {"meta": {"n_users": 2_000_000_000}},
        {"user": np.where(ds.user == ds.user.max(), 2**31 - 1, ds.user)},
    ):
        with pytest.raises(DataError, match=r"expected at most .* users for .* pairs, got 2,"):
            replace(ds, user_ids=None, **change)
