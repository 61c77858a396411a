"""Loads a model, serves from it, lets it go, again and again: every list is right, and memory doesn't grow.

python tests/cycles.py --count 1000          # cycles, one after the other
python tests/cycles.py --minutes 60          # in four threads, for so long
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "hardening"))

from milk_np.machine import threads

threads.prepare(["--threads", "2"])

import numpy as np
from forked import scratch
from job_cases import model
from records import Record, write_record

from milk_np.models.stored import load
from milk_np.service.core import Service
from milk_np.serving.index import ItemIndex

THREADS = 4
MOST_GROWTH = 4 << 20
"""Bytes that memory may grow by from the first quarter of the cycles to the last."""
USERS = [f"u{n}" for n in range(12)]


class WrongError(Exception):
    """A list that is not the model's."""


class Cycle:
    """One cycle on the model's file; the lists that have to come were made before."""

    def __init__(self, folder: Path) -> None:
        self.path, self.folder = folder / "run" / "model.npz", folder
        trained = load(self.path)
        self.lists = trained.recommend(USERS, 5, candidates="all").found
        self.history = trained.recommend_for_histories([["i1", "i2"]], 5, candidates="all").found

    def __call__(self, number: int) -> None:
        trained = load(self.path)
        self._same(trained.recommend(USERS, 5, candidates="all").found, self.lists)
        self._same(trained.recommend_for_histories([["i1", "i2"]], 5, candidates="all").found, self.history)
        index = ItemIndex(trained, "all")
        self._same(index.recommend(USERS, 5).found, self.lists)
        self._serve(self.folder / f"journal-{threading.get_ident()}-{number}")

    def _serve(self, journal: Path) -> None:
        """A service that takes an item in, lists it, takes it out and loads its model again."""
        service = Service(lambda: load(self.path), str(journal))
        try:
            service.put({"fresh": {"image": [1.0] * 5, "text": None}})
            if "fresh" not in service.recommend(USERS[:1], 100, candidates="all").found:
                raise WrongError("an added item isn't listed")
            service.remove(["fresh"])
            service.reload()
            self._same(service.recommend(USERS, 5, candidates="all").found, self.lists)
        finally:
            journal.unlink()

    @staticmethod
    def _same(found: object, expected: object) -> None:
        if not np.array_equal(found, expected):  # type: ignore[arg-type]
            raise WrongError(f"expected {expected}, got {found}")


def memory() -> int:
    """Bytes that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def alone(cycle: Callable[[int], None], count: int) -> tuple[Counter[str], list[str]]:
    """So many cycles; what was wrong."""
    held, wrong = list[int](), list[str]()
    for number in range(count):
        try:
            cycle(number)
        except WrongError as error:
            wrong.append(f"cycle {number}: {error}")
        if number % max(1, count // 40) == 0:
            held.append(memory())
    quarter = max(1, len(held) // 4)
    growth = int(np.median(held[-quarter:]) - np.median(held[quarter : 2 * quarter]))
    if growth > MOST_GROWTH:
        wrong.append(f"memory grew by {growth:,} bytes in {count * 5 // 8} cycles")
    print(f"memory: {held[0] >> 20} MiB at first, {held[-1] >> 20} MiB at last, grew by {growth:,} bytes meanwhile")
    return Counter({"load and serve cycles": count}), wrong


def together(cycle: Callable[[int], None], seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Cycles in several threads at a time; what was wrong."""
    until, tried, wrong = time.monotonic() + seconds, Counter[str](), list[str]()
    before = [0]

    def work(number: int) -> None:
        pauses, done = random.Random(f"{seed} {number}"), 0
        while time.monotonic() < until:
            try:
                cycle(done)
            except Exception as error:
                wrong.append(f"thread {number}: {error!r}")
            done += 1
            tried["cycles in threads"] += 1
            if number == 0 and not before[0] and time.monotonic() > until - 2 / 3 * seconds:
                before[0] = memory()  # not at once: every thread has memory of its own, about 8 MiB, and keeps it
            time.sleep(pauses.uniform(0, 0.01))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    growth = memory() - before[0] if before[0] else 0
    print(f"memory: grew by {growth:,} bytes")
    if growth > 4 * MOST_GROWTH:
        wrong.append(f"memory grew by {growth:,} bytes")
    return tried, wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the line, run, write the record down; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="cycles (default: 1000)")
    parser.add_argument("--minutes", type=float, help="in threads, for so long")
    parser.add_argument("--seed", type=int, default=0, help="seed of the threads' pauses (default: 0)")
    parser.add_argument("--record", type=Path, help="JSON file for the counts")
    given = parser.parse_args(argv)
    start = time.perf_counter()
    with scratch() as place:
        model(Path(place))
        cycle = Cycle(Path(place))
        tried, wrong = (
            alone(cycle, given.count) if given.minutes is None else together(cycle, 60 * given.minutes, given.seed)
        )
    name = "cycles" if given.minutes is None else "threads"
    record = Record(name, dict(tried), wrong, given.seed, time.perf_counter() - start)
    print(record.text(), *wrong[:5], sep="\n")
    if given.record:
        write_record(given.record, record)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
