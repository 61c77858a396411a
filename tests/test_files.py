"""Atomic files: whole or untouched, byte-stable, read without unpickling."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from milk_np import files as checkpoint
from milk_np.data import Dataset
from milk_np.errors import DataError
from milk_np.files import read_npz, write_json_atomic, write_npz_atomic, write_text_atomic
from milk_np.files.writing import write_atomic

KIND = {"kind": "model"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    write_npz_atomic(path, {"x": np.arange(1000, dtype=np.float32), "names": np.array(["a", "é"])}, KIND)
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@settings(max_examples=50)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.int64, np.bool_, "<U3"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
def test_arrays_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: Any) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    write_npz_atomic(path, {"x": array}, KIND | {"epoch": 3})
    arrays, meta = read_npz(path, "model")
    assert arrays["x"].dtype == array.dtype
    assert arrays["x"].shape == array.shape
    assert arrays["x"].tobytes() == array.tobytes()
    assert meta["epoch"] == 3


def test_equal_contents_give_equal_bytes_whatever_the_time_and_memory_order(tmp_path: Path, saved: Path) -> None:
    x = np.arange(12.0).reshape(3, 4)
    write_npz_atomic(tmp_path / "c.npz", {"x": x}, KIND | {"b": 1, "a": 2})
    write_npz_atomic(tmp_path / "f.npz", {"x": np.asfortranarray(x)}, {"a": 2, "b": 1} | KIND)
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "f.npz").read_bytes()


def test_the_file_carries_no_date(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_reads_the_file_too(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as archive:
        assert set(archive.files) == {"meta", "x", "names"}


def test_objects_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz_atomic(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)}, KIND)
    assert files_of(tmp_path) == []


class FullDisk:
    """A file that takes `left` bytes and then has no space."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def write(self, data: Any) -> int:
        self._left -= len(memoryview(data).cast("B"))
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 10, 200, 3000, 4200])
def test_a_full_disk_leaves_the_old_file_and_no_other(saved: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    before = saved.read_bytes()
    whole = checkpoint._write_zip
    monkeypatch.setattr(checkpoint, "_write_zip", lambda file, arrays: whole(FullDisk(file, room), arrays))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space left") as caught:
        write_npz_atomic(saved, {"x": np.ones(1000, dtype=np.float32)}, KIND)
    assert caught.value.errno == errno.ENOSPC
    assert saved.read_bytes() == before
    assert files_of(saved.parent) == ["model.npz"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_writing_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = saved.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="input/output"):
        write_text_atomic(saved, "new")
    assert saved.read_bytes() == before
    assert files_of(saved.parent) == ["model.npz"]


def test_an_interruption_leaves_the_old_file(saved: Path) -> None:
    def interrupted(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    before = saved.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_atomic(saved, interrupted)
    assert saved.read_bytes() == before
    assert files_of(saved.parent) == ["model.npz"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB. Where none can be mounted, only the injected faults above test a full disk."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no mount command: a full disk is tested by the injected faults only")
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted: a full disk is tested by the injected faults only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_really_full_disk_leaves_the_old_file(tiny_disk: Path) -> None:
    path = tiny_disk / "model.npz"
    write_npz_atomic(path, {"x": np.zeros(1000, dtype=np.float32)}, KIND)
    with pytest.raises(OSError, match="No space left"):
        write_npz_atomic(path, {"x": np.ones(100_000, dtype=np.float32)}, KIND)
    assert files_of(tiny_disk) == ["model.npz"]
    arrays, _ = read_npz(path, "model")
    np.testing.assert_array_equal(arrays["x"], 0)


WRITER = """
import sys, numpy as np
from milk_np.files import write_npz_atomic
value = 0
while True:
    value += 1
    write_npz_atomic(sys.argv[1], {"x": np.full(300_000, value, dtype=np.int64)}, {"kind": "model"})
    print(value, flush=True)
"""


def test_killed_while_writing_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    for delay in (0.001, 0.004, 0.007, 0.011):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process, process.stdout as output:
            for _ in range(3):
                output.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        arrays, _ = read_npz(path, "model")
        assert np.unique(arrays["x"]).size == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npz: No such file"):
        read_npz(tmp_path / "absent.npz", "model")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: not an \.npz archive"):
        read_npz(tmp_path / "a.npz", "model")


def test_every_truncation_is_found(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        saved.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"model\.npz"):
            read_npz(saved, "model")


def test_a_flipped_bit_in_the_data_is_found(saved: Path) -> None:
    damaged = bytearray(saved.read_bytes())
    damaged[2000] ^= 4
    saved.write_bytes(damaged)
    with pytest.raises(DataError, match=r"truncated|can't be read"):
        read_npz(saved, "model")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, meta=np.array('{"kind": "model", "version": 1}'), x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="entry 'x' can't be read"):
        read_npz(path, "model")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (None, "has no 'meta' entry"),
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"kind": "dataset", "version": 1}', "expected a model file, got 'dataset'"),
        ('{"kind": "model"}', "has no format version"),
        ('{"kind": "model", "version": 99}', "newer than 1.*install a newer"),
    ],
)
def test_a_wrong_meta_says_what_is_wrong(tmp_path: Path, meta: str | None, message: str) -> None:
    entries = {"x": np.zeros(2)} if meta is None else {"meta": np.array(meta)}
    np.savez(tmp_path / "a.npz", **entries)
    with pytest.raises(DataError, match=message):
        read_npz(tmp_path / "a.npz", "model")


def test_an_absent_entry_is_named_with_those_present() -> None:
    with pytest.raises(DataError, match="entry 'W' is missing; the file has P, b"):
        checkpoint.require("model.npz", {"b": 1, "P": 2}, "P", "W")


def test_json_without_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json_atomic(tmp_path / "a.json", {"x": float("nan")})
    assert files_of(tmp_path) == []


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for read in (lambda path: read_npz(path, "model"), Dataset.load):
        with pytest.raises(DataError, match=r"pipe\.npz: expected a file, got a pipe"):
            read(tmp_path / "pipe.npz")


def test_an_archive_that_expands_to_hundreds_of_times_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "<f4", "fortran_order": False, "shape": (2**27,)})  # type: ignore[arg-type]
        for _ in range(2**9):
            entry.write(bytes(2**20))
    for read in (lambda path: read_npz(path, "model"), Dataset.load):
        with pytest.raises(DataError, match=r"bomb\.npz: entry 'x' expands from .* to 512.0 MB, more than 200 times"):
            read(path)


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (2**50,), }", b"{'descr': [", b"("]
)
def test_a_damaged_header_is_named(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"a\.npz: entry 'x' can't be read"):
        read_npz(path, "model")


@pytest.mark.parametrize("shape", [(2**45,), (2**62,)])
def test_an_array_that_claims_to_be_huge_is_an_error(tmp_path: Path, shape: tuple[int]) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "<f4", "fortran_order": False, "shape": shape})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"a\.npz: entry 'x' can't be read"):
        read_npz(path, "model")
