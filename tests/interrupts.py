"""Sends SIGINT, SIGTERM and SIGHUP to commands at random moments; how soon they end, and what they leave.

    python tests/interrupts.py --count 20 --within 2      # each signal to each command so many times
    python tests/interrupts.py --job prepare --anew       # processes that are started anew, workers too

A command has to end with 130 (or have ended before), print no traceback, leave nothing torn or temporary, and a line
that says how to go on has to work. The exit code is 1 if one doesn't, or takes longer than `--within` seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "hardening")]

from crashes import WrongError
from forked import Child, Ended, call
from job_cases import PREPARED, damage, data, fresh, inside, quietly
from kills import members
from records import Record, reported

from milk_np.cli import evaluate, prepare, recommend, reproduce, train, tune
from milk_np.data import make_synthetic

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 120.0
Body = Callable[[], int]


@dataclass(frozen=True)
class Long:
    """A command that goes on for long: what it begins with, and its line; its first moments if `short` is longer."""

    begin: Callable[[Path], None]
    main: Callable[[list[str]], int]
    line: tuple[str, ...]
    short: float = 0.4


def small(folder: Path) -> None:
    """`data.npz`."""
    data(folder)


def nothing(_folder: Path) -> None:
    """An empty folder."""


def larger(folder: Path) -> None:
    """`data.npz` on which a fit takes seconds, and `run/`, a model of it."""
    make_synthetic(2000, 1500, 40_000, {"image": 96, "text": 48}, new_items=0.3, seed=1).save(folder / "data.npz")
    with inside(folder):
        line = ["--data", "data.npz", "--out", "run", "--preset", "best", "--quiet", "--threads", "1"]
        quietly(lambda: train.main(line))


def table(folder: Path) -> None:
    """`pairs.csv` with 600,000 lines and two feature files."""
    import numpy as np

    rng = np.random.default_rng(0)
    pairs = np.column_stack([rng.integers(0, 50_000, 600_000), rng.integers(0, 20_000, 600_000)])
    with (folder / "pairs.csv").open("w") as file:
        file.write("user,item\n")
        file.writelines(f"u{user},{item}\n" for user, item in pairs.tolist())
    for name in ("image", "text"):
        np.save(folder / f"{name}.npy", rng.standard_normal((20_000, 8), np.float32))


STEPS = ("--protocol", "FTMT", "--dim", "4", "--batch-size", "128", "--topk", "5", "--max-epochs", "100000")
SEARCH = ("--trials", "8", "--dim", "4", "--batch-size", "128", "--max-epochs", "2000", "--patience", "0")
ONE = ("--threads", "1")
LISTS = ("--users", "all", "--candidates", "all", "--topk", "200", "--out", "lists.csv")
TUNE = ("--data", "data.npz", "--out", "tuned", *SEARCH, "--jobs")
ON = ("--data", "data.npz", "--out", "new")
BIG = ("--synthetic", "--users", "2e5", "--items", "5e4", "--pairs", "3e6", "--out", "big")
REPRODUCE = ("fig4", "--data", "data.npz", "--out", "results", "--repeats", "1", "--jobs", "1", *SEARCH)
LONG = {
    "train": Long(small, train.main, (*ON, *STEPS, "--patience", "0", *ONE)),
    "train two seeds": Long(small, train.main, (*ON, "--seeds", "2", *STEPS, "--patience", "0", *ONE)),
    "train best": Long(larger, train.main, (*ON, "--preset", "best", *ONE), 1.5),
    "evaluate": Long(larger, evaluate.main, ("--model", "run", "--data", "data.npz", "--json", "found.json", *ONE)),
    "recommend": Long(larger, recommend.main, ("--model", "run", *LISTS, *ONE)),
    "prepare": Long(table, prepare.main, (*PREPARED, "out.npz", "--merge-duplicates"), 2.0),
    "prepare folder": Long(table, prepare.main, (*PREPARED, "out", "--merge-duplicates"), 2.0),
    "prepare synthetic": Long(nothing, prepare.main, BIG, 3.0),
    "tune": Long(small, tune.main, (*TUNE, "1"), 1.0),
    "tune, two workers": Long(small, tune.main, (*TUNE, "2"), 5.0),
    "reproduce": Long(larger, reproduce.main, REPRODUCE, 1.0),
}
BY_WORKERS = ("tune, two workers",)
"""Jobs whose workers start anew: these are measured in a process of their own, whose group gets the signal too."""


class Bench:
    """A command and the folder that it begins with."""

    def __init__(self, name: str, folder: Path, anew: bool) -> None:
        self.name, self.long, self.anew = name, LONG[name], anew or name in BY_WORKERS
        self.start, self.place = folder / "start", folder / "place"
        self.start.mkdir(parents=True)
        self.long.begin(self.start)
        if not self.anew:
            self._warm()

    def _warm(self) -> None:
        """Let what the command needs be compiled and kept."""
        with inside(fresh(self.place, self.start)):
            child = Child(lambda: self.long.main(list(self.long.line)))
            child.wait(self.long.short * 2)
            child.kill()
            child.end(PATIENCE)

    def sent(self, number: signal.Signals, after: float) -> float:
        """Seconds until the command ends that gets a signal; raises WrongError."""
        fresh(self.place, self.start)
        seconds, ended = (self._group if self.anew else self._forked)(number, after)
        self._judge(ended)
        return seconds

    def _forked(self, number: signal.Signals, after: float) -> tuple[float, Ended]:
        child = Child(self._inside(lambda: self.long.main(list(self.long.line))))
        child.wait(after)
        began = time.perf_counter()
        child.kill(number)
        ended = child.end(PATIENCE)
        return time.perf_counter() - began, ended

    def _group(self, number: signal.Signals, after: float) -> tuple[float, Ended]:
        """The signal goes to the whole group, as a terminal sends it."""
        line = [sys.executable, "-m", self.long.main.__module__, *self.long.line]
        with (self.place.parent / "said").open("w+b") as said:
            process = subprocess.Popen(line, cwd=self.place, stdout=said, stderr=said, start_new_session=True)
            time.sleep(after)
            began = time.perf_counter()
            os.killpg(process.pid, number)
            while members(process.pid) and time.perf_counter() - began < PATIENCE:
                time.sleep(0.01)
            seconds, hung = time.perf_counter() - began, bool(members(process.pid))
            if hung:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            said.seek(0)
            return seconds, Ended(process.returncode, said.read().decode(errors="replace"), hung)

    def _inside(self, body: Body) -> Body:
        def there() -> int:
            os.chdir(self.place)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return body()

        return there

    def _judge(self, ended: Ended) -> None:
        program = self.long.main.__module__.replace("milk_np.cli.", "milk-")
        early = (
            ended.code != 0 and not ended.hung and (f"{program}:" not in ended.said if self.anew else not ended.said)
        )  # no handler yet
        if ended.fault and not early:
            raise WrongError(f"{ended.fault}: {ended.said[-3000:]}")
        if ended.code not in (0, 130) and not early:
            raise WrongError(f"ended with {ended.code}: {ended.said[-1000:]}")
        left = [path.name for path in self.place.rglob("*.tmp")]
        if left or (torn := damage(self.place)):
            raise WrongError(f"left {left or torn}")
        self._go_on(ended.said)

    def _go_on(self, said: str) -> None:
        """A line that says how to go on works, and "saved" is true."""
        lines = [line for line in said.splitlines() if " with: " in line]
        if not lines:
            return
        saved = [path for path in (self.place / "new").rglob("*") if path.name in ("last.npz", "summary.json")]
        if ("and saved" in lines[0]) != bool(saved):
            raise WrongError(f"not true: {lines[0]}")
        again = shlex.split(lines[0].partition(" with: ")[2])[1:]
        if "--max-epochs" in again:
            again += ["--max-epochs", "1"]
        ended = call(self._inside(lambda: self.long.main([*again, *ONE])), PATIENCE)
        if ended.code:
            raise WrongError(f"{lines[0]}\ndoesn't work: {ended.said[-2000:]}")


def run(names: Sequence[str], count: int, seed: int, anew: bool, within: float, root: Path) -> Record:
    """Send each signal to each command `count` times."""
    start, tried, wrong, moments = time.perf_counter(), Counter[str](), list[str](), random.Random(seed)
    for name in names:
        bench, longest = Bench(name, root / name.replace(" ", "-").replace(",", ""), anew), 0.0
        for number in SIGNALS * count:
            after = moments.uniform(0, bench.long.short)
            tried["signals"] += 1
            try:
                seconds = bench.sent(number, after)
            except WrongError as error:
                wrong.append(f"{name}, {number.name} after {after:.2f} s: {error}")
                print(f"WRONG {wrong[-1]}", flush=True)
                continue
            longest = max(longest, seconds)
            if seconds > within:
                wrong.append(f"{name}, {number.name} after {after:.2f} s: took {seconds:.1f} s")
                print(f"WRONG {wrong[-1]}", flush=True)
        print(f"{name}: ends within {longest:.2f} s", flush=True)
    return Record("signals, started anew" if anew else "signals", dict(tried), wrong, seed, time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the line, send, write the record down; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2, help="times that each command gets each signal (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--within", type=float, default=PATIENCE, help="seconds that a command may take to end")
    parser.add_argument("--anew", action="store_true", help="start every process anew, and signal its group")
    parser.add_argument("--job", action="append", choices=list(LONG), help="commands (default: all); may be repeated")
    parser.add_argument("--record", type=Path, help="JSON file for the counts")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        record = run(given.job or list(LONG), given.count, given.seed, given.anew, given.within, Path(folder))
    return reported(record, given.record)


if __name__ == "__main__":
    sys.exit(main())
