"""The file system that fails: what it counts, and what it breaks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from file_system import DIED, FileSystem, Plan, Tally
from forked import UNEXPECTED, Ended, call


def ran(folder: Path, body: Callable[[], object], plan: Plan | None = None) -> tuple[Ended, list[str]]:
    """How `body` ends with `folder` as its working directory, and the operations that were counted."""
    tally = Tally()

    def child() -> int:
        os.chdir(folder)
        FileSystem(folder, plan, tally).install()
        body()
        return 0

    return call(child), tally.names()


def plain() -> None:
    with open("a", "wb") as file:
        file.write(b"0123456789")


def test_what_changes_the_disk_is_counted(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    cases: dict[str, tuple[Callable[[], object], list[str]]] = {
        "written": (plain, ["open", "write"]),
        "text": (lambda: Path("b").write_text("x"), ["open", "write"]),
        "array": (lambda: np.save("c.npy", np.arange(3)), ["open", "write"]),
        "read": (lambda: Path("there").read_text(), []),
        "moved": (lambda: Path("a").rename("d"), ["rename"]),
        "removed": (lambda: shutil.rmtree("e"), ["unlink", "rmdir", "rmdir"]),
        "elsewhere": (lambda: Path(os.devnull).write_text("x"), []),
    }
    (tmp_path / "e" / "f").mkdir(parents=True)
    (tmp_path / "e" / "f" / "g").touch()
    for name, (body, expected) in cases.items():
        ended, found = ran(tmp_path, body)
        assert (ended.code, ended.said, found) == (0, "", expected), name


def waits_for_ever() -> None:
    os.read(os.pipe()[0], 1)


@pytest.mark.parametrize(
    ("what", "code", "left"),
    [("before", DIED, b""), ("amid", DIED, b"01234"), ("short", 0, b"0123456789"), (errno.EINTR, 0, b"0123456789")],
)
def test_a_write_breaks(tmp_path: Path, what: str | int, code: int, left: bytes) -> None:
    ended, _ = ran(tmp_path, plain, Plan(1, what))
    assert (ended.code, (tmp_path / "a").read_bytes()) == (code, left)


def test_an_operation_fails_once_or_from_then_on(tmp_path: Path) -> None:
    def twice() -> None:
        for name in "ab":
            try:
                Path(name).write_text("x")
            except OSError as error:
                print(name, errno.errorcode[error.errno or 0])

    assert ran(tmp_path, twice, Plan(1, errno.EIO))[0].said == "a EIO\n"
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert ran(tmp_path, twice, Plan(1, errno.ENOSPC, lasting=True))[0].said == "a ENOSPC\nb ENOSPC\n"


def test_without_power_what_was_not_flushed_is_gone(tmp_path: Path) -> None:
    (tmp_path / "grows").write_text("old")

    def body() -> None:
        for name, mode in (("flushed", "w"), ("not flushed", "w"), ("grows", "a")):
            with open(name, mode) as file:
                file.write("new")
                file.flush()
                if name == "flushed":
                    os.fsync(file.fileno())
        os.rename("not flushed", "renamed")
        os.mkdir("end")

    ended, found = ran(tmp_path, body, Plan(7, "power"))
    assert (ended.code, found[-1]) == (DIED, "mkdir")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "flushed": "new",
        "renamed": "",
        "grows": "old",
    }


def test_ends_are_told_apart() -> None:
    assert call(lambda: 3).code == 3
    assert call(lambda: os.kill(os.getpid(), 12)).fault == "killed by signal 12"
    assert call(lambda: 1 // 0).code == UNEXPECTED
    assert call(lambda: 1 // 0).fault == "a traceback"
    assert call(lambda: call(lambda: None, 30).code, 30).fault == ""
    hangs = call(waits_for_ever, 0.2)
    assert hangs.fault == "it hangs"
    assert "in waits_for_ever" in hangs.said
