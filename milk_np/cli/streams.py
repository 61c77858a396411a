"""The standard streams of a command: UTF-8, silent where nobody listens, and safe on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from milk_np.text import printable


@contextmanager
def streams() -> Iterator[None]:
    """Inside, everything can be printed: streams that are closed swallow it, others take every letter.

    A terminal gets control characters escaped, since ids and names of data may hold sequences that it would obey. What
    goes to files and pipes stays as it is.
    """
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    try:
        with _usable(before[0]) as sys.stdout, _usable(before[1], keep="\r") as sys.stderr:
            yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_closed_descriptors() -> None:
    """Open what is closed of 0, 1 and 2 to nowhere: a file that got such a number would receive what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


@contextmanager
def _usable(stream: Any, keep: str = "") -> Iterator[Any]:
    """The stream, or one to nowhere; `keep` are control characters that a progress bar needs."""
    if stream is None or stream.closed:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            yield nowhere
        return
    encoding, errors = getattr(stream, "encoding", None), getattr(stream, "errors", None)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        yield cast("Any", _Terminal(stream, keep)) if stream.isatty() else stream
    finally:
        with suppress(OSError, ValueError):  # closed meanwhile, or its reader has gone
            stream.flush()
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding=encoding, errors=errors)


class _Terminal:
    """A stream that shows control characters in place of sending them."""

    def __init__(self, stream: Any, keep: str) -> None:
        self._stream, self._keep = stream, keep

    def write(self, text: str) -> int:
        """Write the text; its length counts as written."""
        self._stream.write(printable(text, "\n\t" + self._keep))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
