"""Ends small jobs at every file operation, lets them go on, and compares what they leave with the job never stopped.

    python tests/crashes.py --all                        # every job, every operation, every kind of fault
    python tests/crashes.py --points 80 --seed 3         # so many of them, drawn
    python tests/crashes.py --states                     # every end of every job, from what one run of it leaves
    python tests/crashes.py --job train --at 17 --what amid

Kinds: `before`, the process ends before the operation, which is after the one before it; `amid`, in the middle of a
write; `power`, and what wasn't flushed is gone; `short`, a write does half and says so; EIO, ENOSPC, EDQUOT and EINTR,
which the operation fails with; ENOSPC+ and EDQUOT+, the disk stays full. The exit code is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "hardening"))

from milk_np.machine import threads

threads.prepare(["--threads", "1"])

from file_system import DIED, FileSystem, Plan, Tally
from forked import Ended, call, scratch
from job_cases import JOBS, Job, contents, damage, fresh, inside, quietly
from records import Record, reported
from states import Keeper, Point, points_by_state
from warm import ready, without_threads

ENDS = ("before", "amid", "power")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EINTR", "ENOSPC+", "EDQUOT+", "short")
KINDS = (*ENDS, *ERRORS)
OF_WRITES = ("amid", "short")
"""Kinds that only writes know."""


def plan_of(at: int, kind: str) -> Plan:
    """The plan of a kind at an operation."""
    number = getattr(errno, kind.rstrip("+"), None)
    return Plan(at, kind if number is None else number, kind.endswith("+"))


@dataclass
class Bench:
    """A job, the folder that it begins with, and what it leaves when nothing stops it."""

    job: Job
    folder: Path
    whole: dict[str, object] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start, self.place = self.folder / "start", self.folder / "place"
        self.start.mkdir(parents=True)
        self.job.begin(self.start)
        self.before = contents(self.start)
        fresh(self.place, self.start)
        with inside(self.place), without_threads():
            quietly(self.job.run)  # here, so that forked processes find everything loaded
        ready()
        tally = Tally()
        self.expect(self._run(None, tally), (0,))
        self.whole, self.operations = contents(self.place), tally.names()

    def _run(self, plan: Plan | None, tally: Tally | None = None) -> Ended:
        return self._on(lambda: FileSystem(self.place, plan, tally))

    def _on(self, make: Callable[[], FileSystem]) -> Ended:
        """Run the job from its beginning on a file system."""
        fresh(self.place, self.start)

        def body() -> int:
            os.chdir(self.place)
            system = make()
            system.install()
            code = self.job.run()
            system.finish()
            return code

        return call(body)

    def states(self) -> dict[Path, list[Point]]:
        """What the ends of the job leave: different folders, each with the points that leave it so."""
        kept = self.folder / "kept"
        self.expect(self._on(lambda: Keeper(self.place, kept)), (0,))
        self.expect_same()
        return points_by_state(kept)

    def check_state(self, state: Path, points: Sequence[Point]) -> str:
        """What is wrong if the process ended at one of the points, all of which leave this folder."""
        fresh(self.place, state)
        return self._judged(*points[0], lambda: None)

    def go_on(self) -> Ended:
        """Let the job go on."""
        return call(self.inside(self.job.go_on))

    def inside(self, body: Callable[[], int]) -> Callable[[], int]:
        """The body, in the job's folder."""

        def there() -> int:
            os.chdir(self.place)
            return body()

        return there

    def points(self, kinds: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Every operation with every kind that it knows, and the power failing at the end."""
        for at, name in enumerate(self.operations):
            yield from ((at, kind) for kind in kinds if name == "write" or kind not in OF_WRITES)
        if "power" in kinds:
            yield len(self.operations), "power"

    def check(self, at: int, kind: str) -> str:
        """What is wrong after that fault; empty if nothing is."""
        ended = (DIED,) if kind in ENDS else (0, 3)
        return self._judged(at, kind, lambda: self.expect(self._run(plan_of(at, kind)), ended))

    def _judged(self, at: int, kind: str, broken: Callable[[], None]) -> str:
        """What is wrong with what the job that is `broken` there leaves, and with what it comes to when it goes on."""
        try:
            broken()
            self.expect_whole()
            self.expect(self.go_on(), (0,))
            self.expect_same()
        except WrongError as wrong:
            name = [*self.operations, "end"][at]
            return f"{self.job.name}, operation {at} ({name}), {kind}: {wrong}"
        return ""

    def expect(self, ended: Ended, codes: tuple[int, ...]) -> None:
        """A process ended with one of the codes, and without a fault."""
        if ended.fault:
            raise WrongError(f"{ended.fault}: {ended.said[-2000:]}")
        if ended.code not in codes:
            raise WrongError(f"ended with {ended.code}, expected {codes}: {ended.said[-2000:]}")

    def expect_whole(self) -> None:
        """No file is torn, and those that are replaced in one step are as before or as after."""
        if torn := damage(self.place):
            raise WrongError(f"torn: {', '.join(torn)}")
        now = contents(self.place)
        for name in self.job.whole:
            if part(now, name) not in (part(self.before, name), part(self.whole, name)):
                raise WrongError(f"{name} is neither as before nor as after")

    def expect_same(self) -> None:
        """The folder holds what the job leaves that was never stopped, and nothing else; CACHE may hold less."""
        now = contents(self.place)
        lost = {name for name in self.whole.keys() - now.keys() if not name.startswith(CACHE)}
        if found := sorted(lost | (now.keys() - self.whole.keys())):
            raise WrongError(f"then goes on, too many or too few: {', '.join(found)}")
        if found := [name for name in now if now[name] != self.whole[name]]:
            raise WrongError(f"then goes on, other contents: {', '.join(found)}")


CACHE = "pretrained/"
"""What is kept for later runs alone: one that couldn't write it goes on without."""


class WrongError(Exception):
    """Something was lost, or said wrongly."""


def part(found: dict[str, object], name: str) -> dict[str, object]:
    """The files called `name` or in the folder `name`."""
    return {path: value for path, value in found.items() if path == name or path.startswith(f"{name}/")}


def drawn(points: list[tuple[int, str]], count: int | None, seed: str) -> list[tuple[int, str]]:
    """`count` of the points in order, all by default."""
    if count is None or count >= len(points):
        return points
    return sorted(random.Random(seed).sample(points, count))


def run(names: Sequence[str], kinds: Sequence[str], count: int | None, seed: int, root: Path) -> Record:
    """Try `count` points of each job; what was tried, and what went wrong."""
    start, tried, wrong = time.perf_counter(), Counter[str](), list[str]()
    for name in names:
        bench = Bench(JOBS[name], root / name.replace(" ", "-"))
        points = drawn(list(bench.points(kinds)), count, f"{seed} {name}")
        print(f"{name}: {len(bench.operations)} operations, {len(points)} points", flush=True)
        for at, kind in points:
            tried["ends" if kind in ENDS else "write faults"] += 1
            if found := bench.check(at, kind):
                wrong.append(found)
                print(f"WRONG {found}", flush=True)
    return Record("crashes", dict(tried), wrong, seed, time.perf_counter() - start)


def run_states(names: Sequence[str], seed: int, root: Path) -> Iterator[Record]:
    """Every end of each job, ends that leave equal folders together; for each, what was tried, and what went wrong."""
    for name in names:
        start, wrong = time.perf_counter(), list[str]()
        bench = Bench(JOBS[name], root / name.replace(" ", "-"))
        states = bench.states()
        tried = {"ends": sum(map(len, states.values())), "different folders after ends": len(states)}
        print(f"{name}: {len(bench.operations)} operations", flush=True)
        for state, points in states.items():
            if found := bench.check_state(state, points):
                wrong.append(found)
                print(f"WRONG {found}", flush=True)
        shutil.rmtree(bench.folder)
        yield Record("crashes", tried, wrong, seed, time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the line, try, write the record down; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every point")
    parser.add_argument("--states", action="store_true", help="every end, from what one run of each job leaves")
    parser.add_argument("--points", type=int, default=5, help="points of each job (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the points that are drawn (default: 0)")
    parser.add_argument("--job", action="append", choices=list(JOBS), help="jobs (default: all); may be repeated")
    parser.add_argument("--what", action="append", choices=KINDS, help="kinds of faults (default: all)")
    parser.add_argument("--at", type=int, help="with --job and --what: this operation alone, and show what is wrong")
    parser.add_argument("--record", type=Path, help="JSON file for the counts")
    given = parser.parse_args(argv)
    with scratch() as folder:
        names, kinds = given.job or list(JOBS), given.what or KINDS
        if given.at is not None:
            found = Bench(JOBS[names[0]], Path(folder) / "job").check(given.at, kinds[0])
            print(found or "as never stopped")
            return int(bool(found))
        if given.states:
            return max([reported(record, given.record) for record in run_states(names, given.seed, Path(folder))])
        record = run(names, kinds, None if given.all else given.points, given.seed, Path(folder))
    return reported(record, given.record)


if __name__ == "__main__":
    sys.exit(main())
