"""Changes that all workers of a service share: lines of JSON in a file, applied by all of them in one order."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from milk_np.errors import DataError
from milk_np.files.appending import unread_line
from milk_np.files.parsing import parse_json

Change = dict[str, Any]


class Journal:
    """Reads what it hasn't seen, and appends; one writer at a time in all processes.

    Parameters
    ----------
    path : its file, made where there is none
    apply : function of a change
        Called once for each, in order; what it raises refuses a change of one's own, which then isn't written.
    known : function of what a line holds, whether it is a change; all are by default
    """

    def __init__(
        self, path: str | Path, apply: Callable[[Change], Any], known: Callable[[Any], bool] = lambda value: True
    ) -> None:
        self.path, self._apply, self._known = Path(path), apply, known
        self._read_to, self._lock = 0, RLock()
        with open(self.path, "ab"):  # made where there is none
            pass

    def catch_up(self) -> None:
        """Apply what other workers have written; costs a look at the file's size where that is nothing."""
        if os.stat(self.path).st_size != self._read_to:
            with self._lock:
                for change, end in self._unread():
                    try:
                        self._apply(change)
                    finally:
                        self._read_to = end  # not sooner: who finds nothing to read doesn't wait for the lock

    def write(self, change: Change) -> Any:
        """Apply a change after those of the others, and append it for them; returns what `apply` returned.

        It is on the disk before it is applied, and read by others when it is applied. After an OSError it may be
        applied here and isn't in the file.
        """
        line = json.dumps(change, allow_nan=False).encode()
        with self._lock, open(self.path, "r+b", buffering=0) as file, _held(file.fileno()):
            self.catch_up()
            with unread_line(file, self._read_to, line) as end:
                found = self._apply(change)
            self._read_to = end
            return found

    def _unread(self) -> Iterator[tuple[Change, int]]:
        """Changes, and where each one's line ends."""
        with open(self.path, "rb") as file:
            end = file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # is being written
                    return
                start, end = end, end + len(line)
                yield self._parsed(line, start), end

    def _parsed(self, line: bytes, start: int) -> Change:
        change: Change = parse_json(line, f"{self.path}: byte {start}")
        if not self._known(change):
            shown = line[:60].decode(errors="replace").rstrip()
            raise DataError(f"{self.path}: byte {start}: expected a change, put, remove or reload, got {shown}")
        return change


@contextmanager
def _held(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
