"""What longer runs of the fuzzer found in archives, settings and tables."""

from __future__ import annotations

import os
import signal
import zipfile
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from forked import call
from numba.np.ufunc import parallel

from milk_np.cli.settings import read_settings
from milk_np.data import make_synthetic
from milk_np.data.importers.arrow import ArrowTable
from milk_np.data.importers.feature_files import read_vectors
from milk_np.errors import DataError, MilkError, ModalityError, SettingsError
from milk_np.files import load_arrays, read_npz, write_npz_atomic
from milk_np.files.parsing import parse_json
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


@pytest.mark.parametrize("line", ["length_power = 2.5", "owned_sets = 3", "landmarks = 'many'", "whitening = [[]]"])
def test_a_value_that_another_model_refuses_is_told_as_that_models_setting(tmp_path: Path, line: str) -> None:
    path, name = tmp_path / "config.toml", line.partition(" ")[0]
    path.write_text(line)
    with pytest.raises(SettingsError, match=rf"config\.toml: {name} .*kernel-profile; milk doesn't have it"):
        read_settings(Namespace(config=str(path)))


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


@pytest.mark.parametrize("field", ["extra", "comment"])
def test_entries_that_an_index_swallows_are_missed(tmp_path: Path, field: str) -> None:
    """A length in the index, grown by one bit, took the entries after it for a comment: a model lost its ids."""
    path = tmp_path / "some.npz"
    write_npz_atomic(path, {name: np.arange(3) for name in ("a", "b", "c", "d")}, {"kind": "some"})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.start_dir
        following = 46 + len(archive.infolist()[1].filename) + len(archive.infolist()[1].extra)
    at += 30 if field == "extra" else 32  # where the index has the lengths of the first entry's fields
    content[at : at + 2] = (int.from_bytes(content[at : at + 2], "little") + following).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.npz: its index has 4 of 5 entries|damaged|not an \.npz archive"):
        read_npz(path, "some")


def test_a_column_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "pairs.parquet"
    parquet.write_table(pa.table({"column": [1], "other": [2]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"column", b"\xffolumn"))
    with pytest.raises(DataError, match=r"pairs\.parquet: (a column's name isn't UTF-8|can't be read as Parquet)"):
        ArrowTable.of_path(path)


def test_a_process_killed_while_it_starts_threads_stops_no_other() -> None:
    """Numba holds a lock of all forked processes then; `tests/kills.py` found commands that hung after such a kill."""

    def killed() -> None:
        lock = parallel._backend_init_process_lock
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    numba.set_num_threads(numba.get_num_threads())  # makes the lock
    assert call(killed).code == -signal.SIGKILL
    assert call(lambda: numba.set_num_threads(1), 20).fault == ""


@pytest.mark.parametrize(
    "text", ['"\\ud800"', b'"\xed\xa0\x80"', '"\ud800"', '{"\\udc00": 1}', '["\\ud83d", "\\ude00"]']
)
def test_half_a_character_in_json_is_told(text: str | bytes) -> None:
    """A name in a state of training was one: the report of the run couldn't be written."""
    with pytest.raises(DataError, match=r"^meta.json: not JSON"):
        parse_json(text, "meta.json")
    assert parse_json('"\\ud83d\\ude00"', "meta.json") == "\U0001f600"
