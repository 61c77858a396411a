"""What a folder holds at every file operation of a process, as if the process ended there: kept in one run.

A process that ends before an operation leaves the folder as it is then; in the middle of a write, half of it; without
power, nothing that wasn't flushed. So one run gives the states of all ends, and those that are equal, names, modes and
bytes, need to be tried once.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from file_system import FileSystem, Plan

INDEX = "index.json"
Point = tuple[int, str]
"""A number of an operation, and what happens there: before, amid or power."""


@dataclass(frozen=True)
class Entry:
    """A file, a link or a folder: its mode, what it holds (None of a folder), and when it was changed."""

    mode: int
    data: bytes | None
    changed: int


State = dict[str, Entry]


def state_of(root: str | Path, unsynced: Mapping[int, int]) -> State:
    """What a folder holds, of files in `unsynced`, by inode, so many bytes."""
    found: State = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            data = None if stat.S_ISDIR(about.st_mode) else _bytes(path, about, unsynced)
            found[os.path.relpath(path, root)] = Entry(about.st_mode, data, about.st_mtime_ns)
    return found


def _bytes(path: str, about: os.stat_result, unsynced: Mapping[int, int]) -> bytes:
    if stat.S_ISLNK(about.st_mode):
        return os.fsencode(os.readlink(path))
    with open(path, "rb") as file:
        return file.read()[: unsynced.get(about.st_ino)]


def put(state: State, folder: Path) -> None:
    """Make a folder that holds this state."""
    folder.mkdir(parents=True)
    for name in sorted(state):  # a folder before what is in it
        entry, path = state[name], folder / name
        if entry.data is None:
            path.mkdir()
        elif stat.S_ISLNK(entry.mode):
            path.symlink_to(os.fsdecode(entry.data))
            continue
        else:
            path.write_bytes(entry.data)
        path.chmod(stat.S_IMODE(entry.mode) | (0o700 if entry.data is None else 0))
    for name in sorted(state, reverse=True):
        os.utime(folder / name, ns=(state[name].changed,) * 2, follow_symlinks=False)


def digest(state: State) -> str:
    """The same for states that are equal but for times."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        entry = state[name]
        data = b"" if entry.data is None else entry.data
        found.update(f"{name!r} {entry.mode} {len(data)}\n".encode())
        found.update(data)
    return found.hexdigest()


class Keeper(FileSystem):
    """Breaks nothing, and keeps in `kept`, outside of the root, the state of every end."""

    def __init__(self, root: str | Path, kept: Path) -> None:
        super().__init__(root)
        self._kept, self._points = kept, list[tuple[int, str, str]]()
        kept.mkdir()

    def _next(self, name: str) -> Plan | None:
        self._keep("before")
        self._keep("power")
        return super()._next(name)

    def write(self, file: FileIO, data: memoryview, real: Callable[[memoryview], int]) -> int:
        """A write of an open file, in two halves."""
        found = os.fstat(file.fileno())
        self._next("write")
        self._unsynced.setdefault(found.st_ino, found.st_size)
        half = real(data[: len(data) // 2]) if len(data) > 1 else 0
        self._keep("amid", len(self.tally) - 1)
        return half + real(data[half:])

    def _keep(self, kind: str, at: int | None = None) -> None:
        state = state_of(self.root, self._unsynced if kind == "power" else {})
        name = digest(state)
        if not (self._kept / name).exists():
            put(state, self._kept / name)
        self._points.append((len(self.tally) if at is None else at, kind, name))

    def finish(self) -> None:
        """The work is done: the power fails now. Writes down which state belongs to which points."""
        self._keep("power")
        (self._kept / INDEX).write_text(json.dumps(self._points))


def points_by_state(kept: Path) -> dict[Path, list[Point]]:
    """The folders that a `Keeper` left, each with the points that leave it so."""
    found: dict[Path, list[Point]] = {}
    for at, kind, name in json.loads((kept / INDEX).read_text()):
        found.setdefault(kept / name, []).append((at, kind))
    return found
