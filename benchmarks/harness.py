"""Interleaved timing, ratios pair by pair, and records of what was measured and where.

Programs take turns (A B C A B C ...), so that a machine whose speed drifts slows all of them alike. A ratio
of two programs is formed inside every round and reported as the median over rounds with its quartiles and
extremes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from ran import caches, clock
from worker import busy_seconds

from milk_np.machine.environment import vector_instructions

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("milk-np", "numpy", "scipy", "numba", "torch", "jax", "jaxlib", "faiss-cpu", "implicit")


MOST_OTHERS = 0.05  # share of the cores that other processes may take while something is timed


def interleave(calls: Mapping[str, Callable[[], float]], rounds: int, warmup: int = 1, attempts: int = 2) -> Seconds:
    """Call each in turn, `warmup` rounds uncounted and `rounds` counted.

    A round in which other processes took much of the cores is repeated; of at most `attempts` times `rounds` rounds
    those with the least disturbance are kept, in the order they were run. With 1 attempt every round counts.
    """
    tried: list[dict[str, float]] = []
    for turn in range(warmup + attempts * rounds):
        taken = {name: alone(call) if attempts > 1 else call() for name, call in calls.items()}
        if turn >= warmup:
            tried.append(taken)
        if sum(disturbance(each) <= MOST_OTHERS for each in tried) == rounds:
            break
    best = sorted(range(len(tried)), key=lambda turn: disturbance(tried[turn]))[:rounds]
    kept = [tried[turn] for turn in sorted(best)]
    turns = [warmup + turn for turn in sorted(best)]
    seconds = {name: [taken[name] for taken in kept] for name in calls}
    return Seconds(seconds, max(map(disturbance, kept)), len(tried), turns)


class Seconds(dict[str, list[float]]):
    """Seconds of every program in every round kept.

    Attributes
    ----------
    others : greatest share of the cores that other processes took in those rounds
    tried : rounds run, without the uncounted ones
    turns : numbers of the rounds kept, uncounted ones counted too, from 0
    """

    def __init__(self, seconds: Mapping[str, list[float]], others: float, tried: int, turns: list[int]) -> None:
        super().__init__(seconds)
        self.others, self.tried, self.turns = others, tried, turns

    def note(self) -> str:
        """How many rounds were kept, and how quiet the machine was."""
        kept = len(next(iter(self.values())))
        return (
            f"{kept} rounds of {self.tried}, taken in turn; other processes took at most "
            f"{self.others:.0%} of the cores meanwhile. Times are medians, ratios medians over rounds [quartiles]."
        )


def disturbance(taken: Mapping[str, float]) -> float:
    """Greatest share of the cores that others took during one call of a round."""
    return max(getattr(seconds, "others", 0.0) for seconds in taken.values())


def alone(call: Callable[[], float]) -> float:
    """The call, once the threads of the program before have stopped spinning, as OpenBLAS's do for a while."""
    wait_for_quiet()
    return call()


def wait_for_quiet(limit: float = 5.0, pause: float = 0.2) -> None:
    """Wait until the machine does next to nothing, `limit` seconds at most."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy = busy_seconds()
        time.sleep(pause)
        if busy_seconds() - busy <= MOST_OTHERS * pause * (os.cpu_count() or 1):
            return


@dataclass(frozen=True)
class Spread:
    """Median, quartiles and extremes of some numbers."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: list[float]) -> Spread:
        """Summary of at least one number."""
        low, _, high = quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else numbers * 3
        return cls(median(numbers), low, high, min(numbers), max(numbers))

    def text(self, digits: int = 3) -> str:
        """Median, and the quartiles in brackets."""
        return f"{self.median:.{digits}g} [{self.low:.{digits}g}, {self.high:.{digits}g}]"


def ratios(seconds: Mapping[str, list[float]], name: str, base: str) -> Spread:
    """How many times as long `name` took as `base`, round by round."""
    return Spread.of([a / b for a, b in zip(seconds[name], seconds[base], strict=True)])


def cpu_model() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


@cache
def machine() -> dict[str, Any]:
    """Processor, cores, caches, clock, memory, system and versions; nothing that names the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu_model(),
        "cores": cores,
        "instructions": vector_instructions(),
        "caches": caches(),
        **clock(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def version(library: str) -> str:
    """Installed version, or "not installed"."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def installed(*libraries: str) -> bool:
    """Whether all of them are installed."""
    return all(version(library) != "not installed" for library in libraries)


@dataclass
class Outcome:
    """What one subject measured.

    rows : one dict per line of its table, in the order of `columns`
    notes : conditions and verdicts that belong under the table
    isa, ran : the instruction set all programs were held to, and what each really ran (`ran.instructions`)
    """

    subject: str
    title: str
    columns: list[str]
    rows: list[dict[str, Any]]
    notes: list[str]
    raw: dict[str, Any]
    isa: str = "native"
    ran: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """Markdown: title, table, notes."""
        lines = [f"### {self.title}", "", *markdown(self.columns, self.rows)]
        return "\n".join(lines + [""] + [f"- {note}" for note in self.notes]) + "\n"

    def save(self, folder: Path = RESULTS) -> Path:
        """Write it as JSON, with machine and date; a folder of its own for each instruction set but the native one."""
        folder = folder if self.isa == "native" else folder / self.isa
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.subject}.json"
        record = {
            "subject": self.subject,
            "title": self.title,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine(),
            "isa": self.isa,
            "ran": self.ran,
        }
        record |= {"columns": self.columns, "rows": self.rows, "notes": self.notes, "raw": self.raw}
        path.write_text(json.dumps(record, indent=1) + "\n")
        return path


def markdown(columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table; a value that a row lacks is left empty."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(cell(row.get(name, "")) for name in columns) + " |" for row in rows]


def cell(value: Any) -> str:
    """Text of a value: numbers to three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
