"""Lines that are added to files, and JSON that is read from them."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path

import pytest

from milk_np.errors import DataError, SettingsError
from milk_np.files.appending import append_line, unread_line, write_all
from milk_np.files.parsing import json_object, parse_json
from milk_np.settings.toml import read_toml


def test_lines_follow_one_another_also_after_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    path.write_bytes(path.read_bytes() + b"tor")
    append_line(path, "zwei ü")
    append_line(path, "\ud800")
    assert path.read_text() == "one\ntor\nzwei ü\n\\ud800\n"


def test_a_line_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    append_line(path, "one")

    def half(file: FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("milk_np.files.appending.write_all", half)
    with pytest.raises(OSError, match="full"):
        append_line(path, "two")
    assert path.read_text() == "one\n"


class Slow:
    """A file that takes three bytes at a time, and none now and then."""

    def __init__(self) -> None:
        self.got, self.calls = b"", 0

    def write(self, data: memoryview) -> int | None:
        self.calls += 1
        if self.calls % 3 == 0:
            return None
        self.got += bytes(data[:3])
        return len(data[:3])


def test_short_writes_are_gone_on_with() -> None:
    slow = Slow()
    write_all(slow, b"0123456789")  # type: ignore[arg-type]
    assert slow.got == b"0123456789"


def test_a_line_has_no_end_until_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntorn by a killed writer")
    with open(path, "r+b", buffering=0) as file:
        with unread_line(file, 4, b"two") as end:
            assert path.read_bytes() == b"one\ntwo "
        assert path.read_bytes() == b"one\ntwo\n"
        with pytest.raises(DataError, match="no"), unread_line(file, end, b"three"):
            raise DataError("no")
    assert path.read_bytes() == b"one\ntwo\n"
    assert end == 8


def test_json_is_read_or_refused(tmp_path: Path) -> None:
    assert parse_json('{"a": [1]}', "here") == {"a": [1]}
    for text in ("", "{", "[" * 100_000, b"\xff", "1" * 10_000):
        with pytest.raises(DataError, match="here: not JSON"):
            parse_json(text, "here")
    for content, message in ((b"[1]", "expected a JSON object, got list"), (b"\xff", "not JSON")):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.json: {message}"):
            json_object(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"b\.json: can't be read \(No such file"):
        json_object(tmp_path / "b.json")


def test_settings_nested_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("lr = " + "[" * 100_000)
    with pytest.raises(SettingsError, match=r"a\.toml: not a TOML file"):
        read_toml(tmp_path / "a.toml")


def test_a_file_that_may_not_grow_is_told(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        append_line(tmp_path, "x")
    assert os.listdir(tmp_path) == []
