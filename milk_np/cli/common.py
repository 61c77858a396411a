"""What every command shares: threads are set before it runs, and the errors that it raises become exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from milk_np.cli.ending import EXIT_INTERRUPTED as EXIT_INTERRUPTED
from milk_np.cli.ending import watched
from milk_np.cli.streams import streams
from milk_np.errors import DataError, DataWarning, MilkError, MissingExtraError, OutOfMemoryError
from milk_np.machine import threads
from milk_np.machine.environment import CORE
from milk_np.text import printable
from milk_np.training.signals import ENDING, NOTICED

EXIT_UNEXPECTED = 1
EXIT_BROKEN_PIPE = 141


def run_command(program: str, body: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's body; errors become a message on stderr and an exit code.

    Threads are set first, so the body has to import NumPy and Numba itself. SIGTERM and SIGHUP interrupt as Ctrl-C
    does.
    """
    with streams():
        return _run(program, body, list(sys.argv[1:] if argv is None else argv))


def _run(program: str, body: Callable[[list[str]], int], line: list[str]) -> int:
    threads.prepare(line)
    previous = {number: _handle(number, _interrupt) for number in ENDING}
    try:
        with watched(program), warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _shown_by(program)
            threads.check_environment()
            code = body(line)
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:
        return answer(program, _interrupted_by(error) or error)
    finally:
        for number, handler in previous.items():
            _handle(number, handler)


def _shown_by(program: str) -> Callable[..., None]:
    """Prints a warning about data as a line of the program; others as Python does."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            print(f"{program}: warning: {printable(str(message))}", file=sys.stderr)
        else:
            usual(message, category, *where, **more)

    return show


def _interrupted_by(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption during which an error came: what is left half-done then may fail in any way."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def answer(program: str, error: BaseException) -> int:
    """Say what went wrong and what to do; return the exit code."""
    match error:
        case MilkError():
            return _fail(program, str(error), error.exit_code)
        case MemoryError():
            message = f"out of memory ({error}); use a smaller --batch-size or --dim"
            return _fail(program, message, OutOfMemoryError.exit_code)
        case KeyboardInterrupt():
            return _fail(program, str(error) or "interrupted", EXIT_INTERRUPTED)
        case BrokenPipeError():
            return _leave_pipe()
        case OSError():
            return _fail(program, _explain(error), DataError.exit_code)
        case ModuleNotFoundError() if error.name in CORE:
            message = f"{sys.executable} has no {error.name}; install milk_np there, or use another Python"
            return _fail(program, message, MissingExtraError.exit_code)
    traceback.print_exception(error)
    return _fail(program, "unexpected error; please report it with the lines above", EXIT_UNEXPECTED)


def _explain(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}the disk is full; free space or choose another --out (files already written are complete)"
    return f"{name}{error.strerror or error}; check the path and its permissions"


def _fail(program: str, message: str, code: int) -> int:
    with suppress(OSError):  # nobody listens
        print(f"{program}: error: {printable(message)}", file=sys.stderr)
    return code


def _leave_pipe() -> int:
    """The reader of stdout has gone: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """End the command; what comes after the first signal changes nothing."""
    NOTICED.set()
    for each in ENDING:
        _handle(each, _ignore)
    raise KeyboardInterrupt("interrupted" if number == signal.SIGINT else "terminated")


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. Processes that are started meanwhile don't inherit it, as they would SIG_IGN."""


def _handle(number: int, handler: object) -> object:
    """Install a signal's handler where that is possible (the main thread) and it isn't ignored; return the previous."""
    if signal.getsignal(number) == signal.SIG_IGN:
        return None
    try:
        return signal.signal(number, handler)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
