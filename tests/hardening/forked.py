"""Runs a function in a forked process, and says how it ended: with a code, by a signal, or not at all."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

MEMORY = Path("/dev/shm")
UNEXPECTED = 99
"""Exit code of a function that raised."""
TELLING = 0.5
"""Seconds for a process that hangs to say where."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or the negative number of a signal; what it printed; whether it hung."""

    code: int
    said: str
    hung: bool = False

    @property
    def fault(self) -> str:
        """What must never come: a traceback, a crash, a hang. Empty if there is none."""
        if self.hung:
            return "it hangs"
        if "Traceback" in self.said or self.code == UNEXPECTED:
            return "a traceback"
        return f"killed by signal {-self.code}" if self.code < 0 else ""


class Child:
    """A process that runs `body` and ends with the code that it returns."""

    def __init__(self, body: Callable[[], int | None]) -> None:
        self._shown: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.pid = _fork()
        if self.pid == 0:
            _run(body, self._shown.fileno())
        self._descriptor = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it didn't come in `seconds`."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; one that has ended gets none."""
        signal.pidfd_send_signal(self._descriptor, number)

    def end(self, seconds: float) -> Ended:
        """Wait for its end, say how it came; if it didn't come in `seconds`, it says where it hangs and is killed."""
        hung = not self.wait(seconds)
        if hung:
            self.kill(signal.SIGUSR1)
            time.sleep(TELLING)
            self.kill()
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._descriptor)
        with self._shown as shown:
            shown.seek(0)
            said = shown.read().decode(errors="replace")
        return Ended(os.waitstatus_to_exitcode(status), said, hung)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for a harness, in memory where there is such a file system: disks take longer than the cases do."""
    return tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)


def call(body: Callable[[], int | None], seconds: float = 120.0) -> Ended:
    """Run `body` in a process of its own."""
    return Child(body).end(seconds)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which knows of forks
        return os.fork()


def _run(body: Callable[[], int | None], shown: int) -> NoReturn:
    code = UNEXPECTED
    try:
        for number in (1, 2):
            os.dup2(shown, number)
        faulthandler.register(signal.SIGUSR1, file=shown, all_threads=True)
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
        sys.stdout, sys.stderr = (_stream(number) for number in (1, 2))
        code = body() or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stream(number: int) -> Any:
    return open(number, "w", encoding="utf-8", errors="replace", closefd=False)
