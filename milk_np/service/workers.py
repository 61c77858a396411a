"""Processes that answer on one socket: ended gracefully, and begun again if one is killed.

They are forked before anything is loaded that computes: a process can't go on after a fork where GNU's OpenMP has run.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any

import uvicorn

from milk_np.errors import MilkError, SettingsError

_ENDING = (signal.SIGTERM, signal.SIGINT)
_PAUSE = 0.5
"""Seconds before a worker that was killed is replaced: one that can't live must not fill the processor."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; SettingsError if the address can't be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as closing:
            found = closing.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer's body waits 40 ms
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            found.listen(1024)
            closing.pop_all()
    except OSError as error:
        raise SettingsError(f"--host {host} --port {port}: {error.strerror or error}; choose another") from None
    return found


def serve(app: Any, sock: socket.socket, grace: int = 10) -> None:
    """Answer until SIGTERM or SIGINT; requests that have begun get up to `grace` seconds to end."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=grace, server_header=False
    )
    uvicorn.Server(config).run(sockets=[sock])


def serve_by_workers(count: int, work: Callable[[int], None]) -> int:
    """Fork `count` processes that call `work` with their number, until SIGTERM or SIGINT; the exit code.

    A worker that is killed is begun again; one that ends with an error, such as a model that can't be read, ends all.
    Workers end when this process does, even if it is killed.
    """
    running: dict[int, int] = {}
    ending: list[int] = []
    alive = os.pipe()  # nothing is written; its reading end sees when no process holds the writing end any more

    def end(code: int = 0, _frame: FrameType | None = None) -> None:
        ending.append(code)
        for pid in running:
            with suppress(ProcessLookupError):  # has ended at this moment
                os.kill(pid, signal.SIGTERM)

    def begin(number: int) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a signal now would miss the one being forked
        try:
            if not ending:
                running[_forked(number, work, alive, before)] = number
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    for which in _ENDING:
        signal.signal(which, lambda _number, frame: end(0, frame))
    for number in range(count):
        begin(number)
    while running:
        pid, status = os.wait()
        number = running.pop(pid, -1)
        if number < 0 or ending:
            continue
        if os.WIFEXITED(status):
            end(os.WEXITSTATUS(status))
            continue
        print(f"milk-serve: worker {number} was killed by signal {os.WTERMSIG(status)}; it is begun again",
              file=sys.stderr, flush=True)  # fmt: skip
        time.sleep(_PAUSE)
        begin(number)
    return ending[0]


def _forked(number: int, work: Callable[[int], None], alive: tuple[int, int], mask: Iterable[int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for which in _ENDING:
            signal.signal(which, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(alive[1])
        threading.Thread(target=_end_with_parent, args=(alive[0],), daemon=True).start()
        work(number)
        code = 0
    except KeyboardInterrupt:
        code = 0
    except MilkError as error:
        print(f"milk-serve: error: {error}", file=sys.stderr)
        code = error.exit_code
    except BaseException as error:
        traceback.print_exception(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)  # nothing comes until the parent's end is closed
    os.kill(os.getpid(), signal.SIGTERM)
