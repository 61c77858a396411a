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

Change = dict[str, Any]


class Journal:
    """Reads what it hasn't seen, and appends; one writer at a time in all processes.

    Parameters
    ----------
    path : its file, made where there is none
    apply : function of a change
        Called once for each, in order; what it raises refuses a change of one's own, which then isn't written.
    """

    def __init__(self, path: str | Path, apply: Callable[[Change], Any]) -> None:
        self.path, self._apply = Path(path), apply
        self._read_to, self._lock = 0, RLock()
        self.path.touch()

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
        """Apply a change after those of the others, and append it for them; returns what `apply` returned."""
        with self._lock, open(self.path, "ab") as file, _held(file.fileno()):
            self.catch_up()
            found = self._apply(change)
            file.write(json.dumps(change, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._read_to = file.tell()
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
        try:
            change: Change = json.loads(line)
        except ValueError as error:
            raise DataError(f"{self.path}: byte {start}: not a line of JSON ({error})") from None
        return change


@contextmanager
def _held(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
