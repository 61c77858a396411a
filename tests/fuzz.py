"""Changes files of every kind, and command lines, keeping some of their structure, and reads them.

    python tests/fuzz.py --minutes 5 --seed 1                  # all kinds in turn
    python tests/fuzz.py --kind model --cases 2000             # one kind, so many cases
    python tests/fuzz.py --kind model --seed 1 --case 1234     # one case again; --keep FOLDER keeps its files
    python tests/fuzz.py --kind journal --guided --minutes 5   # led by coverage; needs the extra `fuzz`

A case is wrong if it ends with an exception that no command tells, a crash in C, a hang, more than two GB of memory, an
object unpickled, or a change accepted that a checksum tells of. The exit code is 1 if any was.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import resource
import shutil
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "hardening"))

from milk_np.machine import threads

threads.prepare(["--threads", "1"])

from forked import Child, scratch
from fuzz_kind import REFUSED, Files, WrongError, outcome
from fuzz_kinds import KINDS, LOADERS
from records import Record, reported
from warm import ready, without_threads

PATIENCE = 30.0
"""Seconds that a case may take."""
MEMORY = 2 << 30
"""Bytes that a case may ask for."""
SHOWN = 2
TURN, MANY = 5.0, 20_000
"""Seconds of a kind's turn, and the most cases in one."""


class Bench:
    """Valid files of a kind, and a folder for changed ones."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.kind, self.seed = name, KINDS[name], seed
        start, self.place = folder / "start", folder / "place"
        start.mkdir(parents=True)
        self.kind.make(start)
        self.files = read(start)
        self.put(self.files)
        before = Path.cwd()
        with without_threads():  # here, so that forked processes find everything loaded
            self.whole = self._found(self.files)
            os.chdir(before)
        if self.whole == REFUSED or (isinstance(self.whole, tuple) and self.whole[0] in (2, 3)):
            raise RuntimeError(f"{name}: files that nobody has changed are refused")

    def put(self, files: Files) -> None:
        """Write the files into the folder, and nothing else."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for name, content in files.items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def changed(self, number: int) -> Files:
        """The files of a case."""
        return self.kind.change(random.Random(f"{self.seed} {self.name} {number}"), self.files)

    def _found(self, files: Files) -> object:
        self.put(files)
        os.chdir(self.place)
        return outcome(self.kind)

    def wrong(self, files: Files) -> str:
        """What is wrong with what reads these files; empty if nothing is."""
        try:
            found = self._found(files)
        except KeyboardInterrupt:
            raise
        except WrongError as error:
            return str(error)
        except BaseException as error:
            return told(error)
        accepted = self.kind.sealed and found not in (REFUSED, self.whole)
        return "a change was accepted that a checksum tells of" if accepted else ""


def told(error: BaseException) -> str:
    """An exception in a line, with the last place in the package where it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "/milk_np/" in frame.filename or "/kernels/" in frame.filename] or frames
    place = f"{inside[-1].filename.rpartition('milk_np/')[2]}:{inside[-1].lineno}"
    return f"{type(error).__name__} at {place} <- {frames[-1].name}: {' '.join(str(error).split())[:200]}"


def read(folder: Path) -> Files:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Runner:
    """Runs cases of a bench in forked processes, each of which may crash or hang."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.wrong = bench, list[str]()
        self._at = mmap.mmap(-1, 8)

    def run(self, first: int, last: int) -> None:
        """Run the cases from `first` to before `last`."""
        while first < last:
            self._note(first)
            child = Child(lambda: self._cases(first, last))  # noqa: B023
            hung = self._waited(child)
            if hung:
                child.kill()
            ended = child.end(10)
            self.wrong += [part for part in ended.said.split("\x1e")[1:] if part]
            if ended.code == 0 and not hung:
                return
            at = self._noted()
            self.wrong.append(
                f"{self.bench.name} {at}: {'it hangs' if hung else f'ended with {ended.code}'}\n{ended.said[-1500:]}"
            )
            first = at + 1

    def _cases(self, first: int, last: int) -> int:
        soft = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, soft))
        for number in range(first, last):
            self._note(number)
            if found := self.bench.wrong(self.bench.changed(number)):
                print(f"\x1e{self.bench.name} {number}: {found}", flush=True)
        return 0

    def _waited(self, child: Child) -> bool:
        """Wait for the end; True if a case hangs."""
        before, since = -1, time.monotonic()
        while not child.wait(0.5):
            if (now := self._noted()) != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                return True
        return False

    def _note(self, number: int) -> None:
        self._at[:] = struct.pack("q", number)

    def _noted(self) -> int:
        return int(struct.unpack("q", self._at[:])[0])


def _size() -> int:
    """Bytes that this process has asked for."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


class Turns:
    """A kind's turns, each about as long as those of the others; `most` is the number of its cases, None for no end."""

    def __init__(self, bench: Bench, most: int | None) -> None:
        self.runner, self.what = Runner(bench), "loader cases" if bench.name in LOADERS else "whole commands"
        if most is not None and bench.name not in LOADERS:
            most = min(most, max(20, most // 20))
        self._next, self._many, self._most = 0, 20, sys.maxsize if most is None else most

    @property
    def over(self) -> bool:
        """Whether there are enough cases."""
        return self._next >= self._most

    def take(self) -> int:
        """Run the cases of a turn; how many there were."""
        began, many = time.perf_counter(), min(self._many, self._most - self._next)
        self.runner.run(self._next, self._next + many)
        self._next += many
        self._many = max(1, min(MANY, int(many * TURN / (time.perf_counter() - began))))
        return many


def run(names: Sequence[str], seed: int, cases: int | None, minutes: float | None, folder: Path) -> Record:
    """Run cases of every kind in turn, until there are enough or the time is over."""
    start, tried, wrong, kinds = time.perf_counter(), Counter[str](), list[str](), Counter[str]()
    waiting = [Turns(Bench(name, folder / name.replace(" ", "-"), seed), cases) for name in names]
    ready()
    until = float("inf") if minutes is None else start + 60 * minutes
    while waiting and time.perf_counter() < until:
        turn = waiting.pop(0)
        tried[turn.what] += turn.take()
        for each in turn.runner.wrong:
            show(each, kinds)
        wrong += turn.runner.wrong
        turn.runner.wrong = []
        waiting += [] if turn.over else [turn]
    return Record("fuzz", dict(tried), wrong, seed, time.perf_counter() - start)


def show(wrong: str, kinds: Counter[str]) -> None:
    """Print the first few of each kind of what is wrong."""
    what = wrong.partition(": ")[2].partition(": ")[0]
    kinds[what] += 1
    if kinds[what] <= SHOWN:
        print(f"WRONG {wrong}", flush=True)


def one(name: str, seed: int, number: int, folder: Path, keep: Path | None) -> int:
    """Show what a case does."""
    bench = Bench(name, folder / "one", seed)
    files = bench.changed(number)
    if keep is not None:
        for path, content in files.items():
            if bench.files.get(path) != content:
                (keep / path).parent.mkdir(parents=True, exist_ok=True)
                (keep / path).write_bytes(content)
    found = bench.wrong(files)
    print(found or "nothing wrong")
    return int(bool(found))


def led(names: Sequence[str], seed: int, minutes: float, folder: Path, record: Path | None) -> Iterator[int]:
    """Let coverage lead the changes of each kind for its share of the time; gives exit codes."""
    import guided

    for name in names:
        bench = Bench(name, folder / name.replace(" ", "-"), seed)
        ready()
        yield reported(guided.run(bench, 60 * minutes / len(names), seed), record)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the line, run, write the record down; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--cases", type=int, help="cases of each kind (default: 100, without --minutes)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the changes (default: 0)")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="kinds (default: all); may be repeated")
    parser.add_argument("--case", type=int, help="with --kind: this case alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --case: write its changed files there")
    parser.add_argument("--guided", action="store_true", help="let coverage lead the changes")
    parser.add_argument("--record", type=Path, help="JSON file for the counts")
    given = parser.parse_args(argv)
    names = given.kind or list(KINDS)
    cases = given.cases or (None if given.minutes else 100)
    with scratch() as place:
        if given.case is not None:
            return one(names[0], given.seed, given.case, Path(place), given.keep)
        if given.guided:
            return max(led(names, given.seed, given.minutes or 1, Path(place), given.record))
        record = run(names, given.seed, cases, given.minutes, Path(place))
    return reported(record, given.record)


if __name__ == "__main__":
    sys.exit(main())
