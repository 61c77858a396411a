"""Kills real commands at random moments, lets them go on, and compares what they leave with the job never stopped.

    python tests/kills.py --count 1000 --seed 1      # in processes that are forked when all is loaded
    python tests/kills.py --count 50 --anew          # in processes that are started anew, workers of a search too

SIGKILL comes at a moment that is drawn from the time that the job takes; half of them are killed once more while they
go on. The exit code is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "hardening")]

from crashes import Bench, WrongError
from forked import Child, Ended, scratch
from job_cases import JOBS, fresh
from records import Record, reported

from milk_np.training.run_folder import RunFolder

SECONDS = 300.0
"""A job that takes longer hangs."""


class Forked:
    """Kills of a process that is forked when all is loaded."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        fresh(bench.place, bench.start)
        began = time.perf_counter()
        self.bench.expect(self._child(bench.job.run).end(SECONDS), (0,))
        self.seconds = time.perf_counter() - began

    def _child(self, body: Callable[[], int]) -> Child:
        return Child(self.bench.inside(body))

    def killed(self, first: bool, seconds: float) -> bool:
        """Begin, or go on, and kill after `seconds`; whether it was still alive."""
        child = self._child(self.bench.job.run if first else self.bench.job.go_on)
        ended = child.wait(seconds)
        child.kill()
        child.end(SECONDS)
        return not ended

    def go_on(self) -> Ended:
        """Go on to the end."""
        return self.bench.go_on()


class Anew(Forked):
    """Kills of a process that is started anew, alone, as the system kills: its workers have to end by themselves."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        began = time.perf_counter()
        fresh(bench.place, bench.start)
        bench.expect(self.go_on(), (0,))
        self.seconds = time.perf_counter() - began

    def _started(self, **streams: object) -> subprocess.Popen[str]:
        module, *line = self.bench.job.program
        if module.endswith(".train") and RunFolder(self.bench.place / "run").exists:
            line.append("--resume")
        if "--jobs" in line:
            line[line.index("--jobs") + 1] = "2"
        return subprocess.Popen(
            [sys.executable, "-m", module, *line], cwd=self.bench.place, text=True, start_new_session=True, **streams
        )  # type: ignore[call-overload,no-any-return]

    def killed(self, first: bool, seconds: float) -> bool:
        process = self._started(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return False
        process.kill()
        process.wait()
        self._expect_nobody(process.pid)
        return True

    def _expect_nobody(self, session: int) -> None:
        """All workers of a killed process end."""
        for _ in range(int(SECONDS * 20)):
            if not members(session):
                return
            time.sleep(0.05)
        os.killpg(session, signal.SIGKILL)
        raise WrongError("its workers stay")

    def go_on(self) -> Ended:
        process = self._started(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said = process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return Ended(-9, process.communicate()[0], hung=True)
        return Ended(process.returncode, said)


def members(session: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            state, _, _, number = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:4]
            if int(number) == session and state not in "ZX":
                found.append(int(entry))
    return found


def once(how: Forked, moments: random.Random, tried: Counter[str]) -> None:
    """Kill a job once or twice, let it go on; raises WrongError if anything was lost."""
    bench = how.bench
    fresh(bench.place, bench.start)
    for first in (True, False)[: moments.choice((1, 2))]:
        alive = how.killed(first, moments.uniform(0, how.seconds))
        tried["kills" if alive else "ended before the kill"] += 1
        bench.expect_whole()
    bench.expect(how.go_on(), (0,))
    bench.expect_same()


def run(names: Sequence[str], count: int, seed: int, anew: bool, root: Path) -> Record:
    """Kill until `count` kills came in time, job after job."""
    start, tried, wrong, moments = time.perf_counter(), Counter[str](), list[str](), random.Random(seed)
    chosen = [name for name in names if JOBS[name].program or not anew]
    for number, name in enumerate(chosen, 1):
        bench = Bench(JOBS[name], root / name.replace(" ", "-"))
        how = Anew(bench) if anew else Forked(bench)
        print(f"{name}: {how.seconds:.2f} s", flush=True)
        while tried["kills"] < count * number // len(chosen):
            try:
                once(how, moments, tried)
            except WrongError as error:
                wrong.append(f"{name}: {error}")
                print(f"WRONG {wrong[-1]}", flush=True)
    kind = "kills, started anew" if anew else "kills"
    return Record(kind, dict(tried), wrong, seed, time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the line, kill, write the record down; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="kills (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--anew", action="store_true", help="kill processes that are started anew")
    parser.add_argument("--job", action="append", choices=list(JOBS), help="jobs (default: all); may be repeated")
    parser.add_argument("--record", type=Path, help="JSON file for the counts")
    given = parser.parse_args(argv)
    with scratch() as folder:
        record = run(given.job or list(JOBS), given.count, given.seed, given.anew, Path(folder))
    return reported(record, given.record)


if __name__ == "__main__":
    sys.exit(main())
