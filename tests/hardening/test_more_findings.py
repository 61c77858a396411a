"""What longer runs of the fuzzer found in archives, settings and tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from milk_np.data import make_synthetic
from milk_np.data.importers.arrow import ArrowTable
from milk_np.data.importers.feature_files import read_vectors
from milk_np.errors import DataError, MilkError, ModalityError
from milk_np.files import load_arrays, read_npz, write_npz_atomic
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.registry import stored_settings
from milk_np.models.stored import load


def test_a_number_that_is_no_character_is_told(tmp_path: Path) -> None:
    text = np.array(["ab", "c"])
    text.view(np.uint32)[1] = 0x110000
    np.savez(tmp_path / "text.npz", names=text)
    with pytest.raises(DataError, match=r"text\.npz: entry 'names' can't be read \(it holds the number 1114112"):
        load_arrays(tmp_path / "text.npz")


def test_offsets_are_signed(tmp_path: Path) -> None:
    ds = make_synthetic(20, 30, 120, {"image": 3}, new_items=0.4, seed=1)
    path = tmp_path / "model.npz"
    KernelProfile(landmarks=8, whitening=(0.0,), kernel_noise=1.0).fit(ds).save(path)
    arrays, meta = read_npz(path, "model")
    arrays["seen_indptr"] = arrays["seen_indptr"].astype(np.uint64)
    write_npz_atomic(path, arrays, meta)
    with pytest.raises(DataError, match=r"model\.npz: .*seen_indptr"):
        load(path)


def test_a_preset_that_is_a_list_is_left_out() -> None:
    with pytest.raises(MilkError):
        stored_settings({"preset": ["paper"], "lr": -1.0}, "config.toml: key")
    assert stored_settings({"preset": ["paper"]}, "config.toml: key").preset == "paper"


def test_rows_without_numbers_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((4, 0), np.float32))
    with pytest.raises(ModalityError, match=r"got float32 of shape \(4, 0\)"):
        read_vectors(tmp_path / "image.npy", "image", "item")


def test_a_table_of_which_a_column_has_fewer_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import dataset, parquet

    parquet.write_table(pa.table({"user": ["a", "b", "c"]}), tmp_path / "pairs.parquet")
    whole = dataset.dataset(tmp_path / "pairs.parquet")
    other = SimpleNamespace(schema=whole.schema, to_batches=whole.to_batches, count_rows=lambda: 5)
    monkeypatch.setattr(dataset, "dataset", lambda *_, **__: other)  # as a damaged footer has it
    table = ArrowTable.of_path(tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match=r"pairs\.parquet: expected 5 rows, got 3 of user"):
        list(table.column("user"))
