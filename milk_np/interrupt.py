"""Ctrl-C and SIGTERM that wait for a safe moment, so that what is saved is the state between two steps."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class DeferredInterrupt:
    """Within `with`, the first Ctrl-C or SIGTERM only sets `requested`; a second one interrupts at once.

    >>> with DeferredInterrupt() as stop:
    ...     for step in range(10):
    ...         pass  # a step, whole
    ...         if stop.requested:
    ...             break  # save, then raise KeyboardInterrupt

    Outside the main thread Python can't install handlers: then nothing is deferred.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        try:
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        except ValueError:
            self._previous = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
