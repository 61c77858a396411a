"""Every write of a file or folder: whole or absent, whoever else writes, and whatever the target is.

A temporary file or folder lies next to its target under a name that nobody can guess, and under a lock as long as its
writer lives. One without a lock is what a killed process left; the next writer of the same target removes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IDLE = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)
"""What a file system answers that doesn't flush folders, or doesn't know locks."""
_OWN_DESCRIPTORS = ("/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd")
_SHORT = 40
"""Characters of the target's name in a temporary name: together they stay below the 255 bytes of a file system."""
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux
_UNFINISHED: set[Path] = set()
"""Temporary files and folders that this process is writing."""


def write_atomic(path: str | Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a temporary file next to `path`, then rename it to `path`.

    On any failure, Ctrl-C included, the temporary file is removed and `path` is untouched. A link is followed to its
    target, whose mode is kept. What exists and isn't a regular file, such as a pipe or /dev/null, is written to. Of
    several writers at a time, the last one wins, whole.
    """
    descriptor = _own_descriptor(path)
    target = Path(os.path.realpath(path))
    if descriptor is not None or _is_special(target):
        _write_through(os.dup(descriptor) if descriptor is not None else os.open(target, os.O_WRONLY), write)
        return
    with _temporary_file(target) as (file, temporary):
        write(file)
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, target)
    sync_folder(target.parent)
    _remove_leftovers(target)


def _own_descriptor(path: str | Path) -> int | None:
    """The number of an open file of this process that `path` names, as /dev/stdout does."""
    place = os.fspath(path)
    for _ in range(40):  # as many links as Linux follows
        folder, name = os.path.split(place)
        if name.isdecimal() and (folder in _OWN_DESCRIPTORS or os.path.realpath(folder) == f"/proc/{os.getpid()}/fd"):
            return int(name)
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


def _is_special(target: Path) -> bool:
    """Whether the target exists and is neither a regular file nor absent; raises OSError for a folder."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    return not stat.S_ISREG(mode)


def _write_through(descriptor: int, write: Callable[[BinaryIO], None]) -> None:
    """Write to a device, pipe or open file when everything is ready: it can't be taken back."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()  # what was printed before stays in front
    with open(descriptor, "wb") as target, TemporaryFile() as whole:
        write(whole)
        whole.seek(0)
        shutil.copyfileobj(whole, target)


@contextmanager
def _temporary_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file next to `target`, locked, with the mode and owner of `target` if there is one."""
    earlier = target.stat() if target.exists() else None
    temporary, descriptor = _new_locked(target, 0o666 if earlier is None else stat.S_IMODE(earlier.st_mode) & 0o777)
    try:
        with open(descriptor, "w+b") as file:
            if earlier is not None:
                _as_before(descriptor, earlier)
            yield file, temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        _UNFINISHED.discard(temporary)


def _as_before(descriptor: int, earlier: os.stat_result) -> None:
    """Give an open file the owner, where that is permitted, and the mode of the one that it replaces."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (earlier.st_uid, earlier.st_gid):
        with suppress(OSError):
            os.fchown(descriptor, earlier.st_uid, earlier.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(earlier.st_mode) & 0o777)


def _new_locked(target: Path, mode: int) -> tuple[Path, int]:
    """Path and descriptor of a new file for `target`; another writer may take it for a left-over until it is locked."""
    while True:
        temporary = _unguessable(target)
        _UNFINISHED.add(temporary)
        descriptor = os.open(temporary, _CREATE, mode)
        lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)


def _unguessable(target: Path) -> Path:
    return target.with_name(f".{target.name[:_SHORT]}.{secrets.token_hex(8)}.tmp")


def lock(descriptor: int, wait: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed, at the latest when the process ends.

    False if another process holds it, None where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (*_IDLE, errno.ENOLCK):
            return None
        raise
    return True


# Folders


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """A temporary folder for files; on success it takes the place of the folder `path`, on failure it is removed.

    A link is followed to its target. The earlier folder stays under its name until the new one is whole.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, descriptor = _new_locked_folder(target)
    try:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync_folder(temporary)
        _put_in_place(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)
        _UNFINISHED.discard(temporary)
    sync_folder(target.parent)
    _remove_leftovers(target)


def _new_locked_folder(target: Path) -> tuple[Path, int]:
    while True:
        temporary = _unguessable(target)
        _UNFINISHED.add(temporary)
        temporary.mkdir(mode=stat.S_IMODE(target.stat().st_mode) & 0o777 | 0o700 if target.exists() else 0o777)
        try:
            descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another writer took it for a left-over
            continue
        lock(descriptor, wait=True)
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename a folder over another. Where the two can't be exchanged at once, the earlier one is moved aside first."""
    try:
        os.rename(temporary, target)  # to a name that is free, or an empty folder's
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    earlier = temporary
    if not exchange(temporary, target):
        earlier = _unguessable(target)
        os.rename(target, earlier)
        try:
            os.rename(temporary, target)
        except BaseException:
            os.rename(earlier, target)
            raise
    shutil.rmtree(earlier, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system can't."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return call is not None and call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def remove_unfinished() -> None:
    """Remove what this process is writing, when it is about to end without its usual way out."""
    for temporary in list(_UNFINISHED):
        with suppress(OSError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def _remove_leftovers(target: Path) -> None:
    """Remove what dead writers left of `target`; called when `target` is whole."""
    remove_leftovers(target.parent, target.name[:_SHORT])


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove temporary files and folders in `folder` whose writers are dead: those of one target, or of all."""
    pattern = re.compile(rf"\.{'.+' if name is None else re.escape(name)}\.[0-9a-f]{{16}}\.tmp", re.DOTALL)
    with suppress(OSError):
        for leftover in filter(pattern.fullmatch, os.listdir(folder)):
            _remove_if_dead(folder / leftover)


def _remove_if_dead(leftover: Path) -> None:
    """Remove one's own file or folder that nobody holds a lock on."""
    with suppress(OSError):
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid() and lock(descriptor):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        finally:
            os.close(descriptor)


def sync(path: Path) -> None:
    """Flush a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder (a rename in it) to the disk, where the file system does that: shared folders often don't."""
    try:
        sync(path)
    except OSError as error:
        if error.errno not in _IDLE:
            raise
