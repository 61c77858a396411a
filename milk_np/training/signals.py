"""Signals that end a run: delayed until a step is done, or handled at once where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTICED = threading.Event()
"""Set when Python has handled one of them in this process."""


class Interruption:
    """Whether a signal has requested a stop. A second signal stops at once, as does any inside `at_once`."""

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Handle a signal."""
        NOTICED.set()
        if self.asked or self._at_once:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt at once, also one that arrived before."""
        if self.asked:
            raise KeyboardInterrupt
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Delay signals. Only the main thread receives any; an ignored one, as under nohup, stays ignored."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    held = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, interruption.ask) for number in held}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
