"""File operations of a process below a folder: counted, and one of them broken.

Functions of `os`, `fcntl` and `open` are replaced for good, so this is for a process of its own (`forked.call`). What
is counted changes the disk or locks it: files that are made or emptied, each write, flush, rename, removal.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

DIED = 77
"""Exit code of a process that a `Plan` ended."""
_MAKES = os.O_CREAT | os.O_TRUNC
_TAKES_ROOM = ("open", "write", "mkdir", "fsync")
_PATHS = ("mkdir", "rmdir", "unlink", "remove", "rename", "replace", "truncate", "chmod", "chown", "utime", "link")
_DESCRIPTORS = ("fsync", "fdatasync", "fchmod", "fchown", "ftruncate")


@dataclass(frozen=True)
class Plan:
    """What happens at operation `at`, counted from 0.

    Attributes
    ----------
    what :
        "before": the process ends there. "amid": half of a write is done, then it ends. "power": it ends, and what was
        written and not flushed is gone. "short": half of a write is done, and it says so. A number: the operation
        fails with this `errno`.
    lasting : whether it is the same with all operations from there on that take room, as on a full disk
    """

    at: int
    what: str | int
    lasting: bool = False


class Tally:
    """What the counting process leaves for the one that started it: names of operations, one byte for each."""

    MOST = 1 << 20
    NAMES = ("none", "open", "write", "flock", "exchange", *_PATHS, *_DESCRIPTORS)

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 + self.MOST)

    def add(self, name: str) -> int:
        """Note an operation; its number."""
        count = len(self)
        self._memory[8 + count] = self.NAMES.index(name)
        self._memory[:8] = struct.pack("q", count + 1)
        return count

    def __len__(self) -> int:
        return int(struct.unpack("q", self._memory[:8])[0])

    def names(self) -> list[str]:
        """The operations in order."""
        return [self.NAMES[number] for number in self._memory[8 : 8 + len(self)]]


class FileSystem:
    """Takes the place of the system's functions for paths below `root`."""

    def __init__(self, root: str | os.PathLike[str], plan: Plan | None = None, tally: Tally | None = None) -> None:
        self.root, self.plan = os.path.realpath(root), plan
        self.tally = Tally() if tally is None else tally
        self._unsynced: dict[int, int] = {}
        self._real_open = builtins.open
        self._fsync, self._truncate = os.fsync, os.truncate

    def install(self) -> None:
        """From now on operations are counted, and the plan is carried out."""
        from milk_np.files import writing

        for name in _PATHS:
            setattr(os, name, self._counted(name, getattr(os, name), self._path_concerns))
        for name in _DESCRIPTORS:
            setattr(os, name, self._counted(name, getattr(os, name), self._descriptor_concerns))
        os.open = self._counted("open", os.open, self._open_concerns)  # type: ignore[assignment]
        fcntl.flock = self._counted("flock", fcntl.flock, self._descriptor_concerns)  # type: ignore[assignment]
        writing.exchange = self._counted("exchange", writing.exchange, self._path_concerns)
        builtins.open = io.open = self._open
        _write_arrays_by_python()

    def finish(self) -> None:
        """The work is done, and if the plan says so, the power fails now."""
        if self.plan is not None and self.plan.what == "power" and self.plan.at >= len(self.tally):
            self._forget()
            os._exit(DIED)

    # What is counted

    def inside(self, path: Any, folder: int | None = None) -> bool:
        """Whether a path or an open file's number is below the root."""
        if isinstance(path, int):
            return self._below(_path_of(path))
        beside = os.getcwd() if folder is None else _path_of(folder)
        return self._below(os.path.abspath(os.path.join(beside, os.fsdecode(path))))

    def _below(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    def _path_concerns(self, path: Any, *_more: Any, dir_fd: int | None = None, **_named: Any) -> bool:
        return self.inside(path, dir_fd)

    def _descriptor_concerns(self, file: Any, *_more: Any, **_named: Any) -> bool:
        return self.inside(file if isinstance(file, int) else file.fileno())

    def _open_concerns(self, path: Any, flags: int, *_more: Any, dir_fd: int | None = None, **_named: Any) -> bool:
        return bool(flags & _MAKES) and self.inside(path, dir_fd)

    def _counted(self, name: str, real: Callable[..., Any], concerns: Callable[..., bool]) -> Callable[..., Any]:
        def operation(*arguments: Any, **named: Any) -> Any:
            if not concerns(*arguments, **named):
                return real(*arguments, **named)
            self._next(name)
            if name == "fsync":
                self._unsynced.pop(_inode(arguments[0]), None)
            return real(*arguments, **named)

        return operation

    # Files

    def _open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or not self.inside(file):
            return self._real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int) and ("w" in mode or not os.path.exists(file)):
            self._next("open")
        raw = _File(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline, buffering == 1)

    def write(self, file: io.FileIO, data: memoryview, real: Callable[[memoryview], int]) -> int:
        """A write of an open file; how many bytes were written."""
        found = os.fstat(file.fileno())
        plan = self._next("write")
        self._unsynced.setdefault(found.st_ino, found.st_size)
        if plan is None:
            return real(data)
        half = real(data[: len(data) // 2]) if len(data) > 1 else 0
        if plan.what == "amid":
            os._exit(DIED)
        return half or real(data)

    # What breaks

    def _next(self, name: str) -> Plan | None:
        """Count an operation. Returns the plan if it is about half of a write; carries it out if it is about more."""
        number, plan = self.tally.add(name), self.plan
        if plan is None or number < plan.at:
            return None
        if number > plan.at and not (plan.lasting and name in _TAKES_ROOM):
            return None
        if isinstance(plan.what, int):
            raise OSError(plan.what, os.strerror(plan.what))
        if plan.what == "power":
            self._forget()
        if plan.what in ("before", "power"):
            os._exit(DIED)
        return plan

    def _forget(self) -> None:
        """What nobody flushed is gone."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                inode = os.lstat(path).st_ino
                if inode in self._unsynced:
                    self._truncate(path, self._unsynced[inode])


class _File(io.FileIO):
    """An open file whose writes are counted."""

    def __init__(self, system: FileSystem, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._system = system
        super().__init__(file, mode, closefd, opener)

    def write(self, data: Any) -> int:
        return self._system.write(self, memoryview(data).cast("B"), super().write)


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def _inode(file: Any) -> int:
    return os.fstat(file).st_ino


def _write_arrays_by_python() -> None:
    """NumPy writes to a real file past Python; let it write to all as to an archive."""
    for module in (np.lib.format, getattr(np.lib, "_format_impl", np.lib.format)):
        if hasattr(module, "isfileobj"):
            module.isfileobj = lambda file: False
