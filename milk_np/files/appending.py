"""Lines added to files that grow: each is whole or absent, and nobody reads one that isn't meant yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path


def append_line(path: str | Path, text: str) -> None:
    """Add a line of UTF-8 text to a file, made where there is none; on a failure it is as before.

    What a killed process left of its last line gets a line of its own. The file isn't flushed to the disk.
    """
    with open(path, "a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
        with _as_before(file, end):
            write_all(file, (b"\n" if torn else b"") + text.encode(errors="backslashreplace") + b"\n")


@contextmanager
def unread_line(file: FileIO, end: int, text: bytes) -> Iterator[int]:
    """Put a line at `end` of a file, on the disk but for its end; readers leave such a line alone.

    When the body is done, the line gets its end, which takes no more room on the disk; if it fails, the line is
    removed. What stands behind `end` is what a killed writer left, and goes. Gives the place behind the line.
    """
    file.truncate(end)
    file.seek(end)
    with _as_before(file, end):
        write_all(file, text + b" ")
        os.fsync(file.fileno())
        yield end + len(text) + 1
        file.seek(end + len(text))
        write_all(file, b"\n")
        os.fsync(file.fileno())


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of `data` to an unbuffered file, which may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


@contextmanager
def _as_before(file: FileIO, end: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            file.truncate(end)
        raise
