"""A command ends soon after a signal, even while one long computation keeps Python from noticing it.

Python handles a signal between two of its own steps, and a sort, a decomposition or a parser may take many seconds. So
a thread waits for signals too. It ends the process where the handler doesn't get its turn soon; a handler that does
(`training.signals.NOTICED`) ends the command in its own way, such as after a training run has been saved.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from milk_np.text import printable
from milk_np.training.signals import ENDING, NOTICED

EXIT_INTERRUPTED = 130
PATIENCE = 1.0
"""Seconds that a handler has to get its turn."""


class Watch:
    """The thread, and what it says when it ends the process."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.advice: Callable[[], str] = lambda: "interrupted"
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def start(self) -> None:
        """Let signals be written to the thread's pipe; only the main thread can."""
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, daemon=True, name="milk-signals").start()

    def stop(self) -> None:
        """Let the thread end."""
        signal.set_wakeup_fd(self._before)
        os.close(self._write)

    def _wait(self) -> None:
        while got := os.read(self._read, 1):
            if got[0] in ENDING and not NOTICED.wait(PATIENCE):
                self._end()
        os.close(self._read)

    def _end(self) -> None:
        with suppress(Exception):
            if writing := sys.modules.get("milk_np.files.writing"):  # else nothing was written; it loads NumPy
                writing.remove_unfinished()
        with suppress(Exception):  # nobody listens, or the handler came after all and closed what this asks for
            os.write(2, f"{self._program}: error: {printable(self.advice())}\n".encode())
        os._exit(EXIT_INTERRUPTED)


_current: Watch | None = None


def advise(text: Callable[[], str]) -> None:
    """What an interrupted command says, from now on."""
    if _current is not None:
        _current.advice = text


@contextmanager
def watched(program: str) -> Iterator[None]:
    """Inside, the process ends soon after a signal. In a thread that isn't the main one, or in a command that another
    calls, there is nothing to watch."""
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    NOTICED.clear()
    _current = Watch(program)
    _current.start()
    try:
        yield
    finally:
        _current.stop()
        _current = None


def _forked() -> None:
    """A forked process has no such thread, and its signals are no business of its parent."""
    global _current
    if _current is not None:
        signal.set_wakeup_fd(-1)
        _current = None


os.register_at_fork(after_in_child=_forked)
