"""Writes: what stands at the target, who else writes, what file systems can't do, what killed processes left."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from milk_np.files import writing
from milk_np.files.writing import exchange, folder_atomic, write_atomic


def put(path: Path, text: bytes = b"new") -> None:
    write_atomic(path, lambda file: put_bytes(file, text))


def put_bytes(file: BinaryIO, text: bytes) -> None:
    file.write(text)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_the_mode_of_an_existing_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    put(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


def test_a_new_file_has_the_mode_that_any_new_file_has(tmp_path: Path) -> None:
    put(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_a_private_file_gets_is_private_from_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o600)
    seen = []
    write_atomic(path, lambda file: seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode)))
    assert seen == [0o600]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    put(path, b"x" * 200_000)
    reader.join(20)
    assert got == [b"x" * 200_000]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    """A link to it stands for it, so that a failure of this test costs no device."""
    (tmp_path / "null").symlink_to("/dev/null")
    put(tmp_path / "null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (tmp_path / "null").is_symlink()


def test_stdout_is_written_to_in_order_also_if_it_is_a_file(tmp_path: Path) -> None:
    code = "from milk_np.files import write_text_atomic as w; print('a'); w('/dev/stdout', 'b\\n'); print('c')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "a\nb\nc\n"
    assert names(tmp_path) == ["out"]


def test_links_are_followed_to_their_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(tmp_path / "real" / "file")
    for text in (b"first", b"second"):
        put(tmp_path / "one", text)
        assert (tmp_path / "real" / "file").read_bytes() == text
    assert (tmp_path / "one").is_symlink()
    assert names(tmp_path) == ["one", "real", "two"]
    assert names(tmp_path / "real") == ["file"]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        put(tmp_path)


def test_names_as_long_as_a_file_system_permits(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127):
        put(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one whose name was guessed."""
    (tmp_path / "victim").write_bytes(b"mine")
    monkeypatch.setattr(writing, "_unguessable", lambda target: target.with_name("planted"))
    (tmp_path / "planted").symlink_to("victim")
    with pytest.raises(FileExistsError):
        put(tmp_path / "a")
    assert (tmp_path / "victim").read_bytes() == b"mine"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cant_be_flushed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    put(tmp_path / "a")
    with folder_atomic(tmp_path / "b") as folder:
        (folder / "x").write_bytes(b"1")
    assert names(tmp_path) == ["a", "b"]


def test_the_last_of_many_writers_wins_whole(tmp_path: Path) -> None:
    path, failures = tmp_path / "a", []

    def work(letter: bytes) -> None:
        try:
            for _ in range(30):
                put(path, letter * 100_000)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(bytes([97 + n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(path.read_bytes()) == 100_000
    assert len(set(path.read_bytes())) == 1
    assert names(tmp_path) == ["a"]


KILLED = """
import os, sys
from pathlib import Path
from milk_np.files.writing import folder_atomic, write_atomic
def die(file):
    file.write(b"half"); file.flush(); os.kill(os.getpid(), 9)
if sys.argv[1] == "file":
    write_atomic(sys.argv[2], die)
with folder_atomic(Path(sys.argv[2])) as folder:
    with open(folder / "x", "wb") as file:
        die(file)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_killed_writers_left_is_removed_by_the_next(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], check=False)
    assert len(names(tmp_path)) == 2
    if kind == "file":
        put(path)
    else:
        with folder_atomic(path) as folder:
            (folder / "x").write_bytes(b"1")
    assert names(tmp_path) == ["a"]


def test_what_others_own_or_a_living_writer_uses_stays(tmp_path: Path) -> None:
    foreign = [".a.123.tmp", ".b.0123456789abcdef.tmp", ".a.notes.tmp", ".a.0123456789abcdef.tmp.bak"]
    for name in foreign:
        (tmp_path / name).write_bytes(b"")

    def slow(file: BinaryIO) -> None:
        file.write(b"slow")
        put(tmp_path / "a", b"fast")

    write_atomic(tmp_path / "a", slow)
    assert (tmp_path / "a").read_bytes() == b"slow"
    assert names(tmp_path) == sorted([*foreign, "a"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with folder_atomic(tmp_path / "set") as made:
        (made / "x").write_bytes(b"old")
    return tmp_path / "set"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_replaces_another(folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    if not at_once:
        monkeypatch.setattr(writing, "exchange", lambda *_: False)
    folder.chmod(0o750)
    with folder_atomic(folder) as made:
        (made / "y").write_bytes(b"new")
    assert names(folder) == ["y"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert names(folder.parent) == ["set"]


def test_the_folders_name_is_never_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each rename the name leads to the old folder or to the new one."""
    other = folder.with_name("other")
    other.mkdir()
    if not exchange(folder, other):
        pytest.skip("this file system can't exchange two names at once")
    exchange(folder, other)
    other.rmdir()
    rename, seen = os.rename, []

    def watched(source: Path, target: Path) -> None:
        rename(source, target)
        seen.append(folder.exists())

    monkeypatch.setattr(os, "rename", watched)
    with folder_atomic(folder) as made:
        (made / "x").write_bytes(b"new")
    assert all(seen)
    assert (folder / "x").read_bytes() == b"new"


def test_a_link_to_a_folder_stays_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to("set")
    with folder_atomic(folder.parent / "link") as made:
        (made / "x").write_bytes(b"new")
    assert (folder.parent / "link").is_symlink()
    assert (folder / "x").read_bytes() == b"new"
