"""What a kind of files is, how it is changed, and what may come of it."""

from __future__ import annotations

import io
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mutants import changed_bytes

from milk_np.errors import MilkError

Files = dict[str, bytes]
Change = Callable[[random.Random, Files], Files]
REFUSED = "refused"


class WrongError(Exception):
    """A program that ended as none may, or said so."""


@dataclass(frozen=True)
class Kind:
    """What is fuzzed.

    Attributes
    ----------
    make : writes valid files into a folder
    change : changes some of them
    use : reads them, with the folder as the working directory, and computes with them; returns what it found
    sealed : whether checksums tell of every change: it has to be refused, or to change nothing of what is found
    """

    make: Callable[[Path], None]
    change: Change
    use: Callable[[], Any]
    sealed: bool = False


def one_of(**changes: Callable[[random.Random, bytes], bytes]) -> Change:
    """Change one file, or two; `changes` are functions by the pattern of names, with __ for a dot."""
    patterns = {name.replace("__", "."): change for name, change in changes.items()}

    def change(rng: random.Random, files: Files) -> Files:
        found = dict(files)
        for _ in range(rng.choice((1, 1, 1, 2))):
            pattern = rng.choice(list(patterns))
            names = [name for name in files if fnmatch(name.rpartition("/")[2], pattern.replace("any", "*"))]
            name = rng.choice(names)
            if rng.random() < 0.02:
                found.pop(name, None)
            else:
                found[name] = patterns[pattern](rng, files[name])
        return found

    return change


def rarely(how: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, bytes], bytes]:
    """That change, and changed bytes now and then."""
    return lambda rng, content: (how if rng.random() < 0.85 else changed_bytes)(rng, content)


def cli(main: Callable[[list[str]], int], *line: str) -> tuple[int, str]:
    """The code of a command in this process, and what it printed if that is 0; WrongError for a fault."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        try:
            code = main(list(line))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    if code not in (0, 2, 3, 4, 5) or "Traceback" in error.getvalue():
        raise WrongError(f"ended with {code}: {error.getvalue()[-3000:]}")
    if code and not error.getvalue().strip():
        raise WrongError(f"ended with {code} and no message")
    return code, out.getvalue() if code == 0 else ""


def outcome(kind: Kind) -> Any:
    """What `use` finds, or REFUSED; raises what nothing may raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return kind.use()
        except MilkError as error:
            if not str(error).strip():
                raise WrongError("an error without a message") from error
            return REFUSED
        except OSError:  # a command tells it
            return REFUSED
        finally:
            if Path("UNPICKLED").exists():
                print("unpickled", file=sys.stderr)
                raise WrongError("something was unpickled")
