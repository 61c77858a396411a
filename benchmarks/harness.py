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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("milk-np", "numpy", "scipy", "numba", "torch", "jax", "jaxlib", "faiss-cpu", "implicit")


def interleave(
    calls: Mapping[str, Callable[[], float]], rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Call each in turn, `warmup` rounds uncounted, `rounds` counted; the seconds each call returned."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + rounds):
        for name, call in calls.items():
            taken = call()
            if turn >= warmup:
                seconds[name].append(taken)
    return seconds


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
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and versions; nothing that names the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu_model(),
        "cores": cores,
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
    """

    subject: str
    title: str
    columns: list[str]
    rows: list[dict[str, Any]]
    notes: list[str]
    raw: dict[str, Any]

    def table(self) -> str:
        """Markdown: title, table, notes."""
        lines = [f"### {self.title}", "", *markdown(self.columns, self.rows)]
        return "\n".join(lines + [""] + [f"- {note}" for note in self.notes]) + "\n"

    def save(self, folder: Path = RESULTS) -> Path:
        """Write it as JSON, with machine and date."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.subject}.json"
        record = {
            "subject": self.subject,
            "title": self.title,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine(),
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


def timing_rows(
    seconds: Mapping[str, list[float]], base: str, missing: Mapping[str, str], unit: float = 1.0
) -> list[dict[str, Any]]:
    """One row per program: median time (seconds / unit), ratio to `base`; absent programs say why."""
    rows = []
    for name, taken in seconds.items():
        ratio = ratios(seconds, name, base)
        spread = f"{ratio.least:.3g} to {ratio.most:.3g}"
        rows.append(
            {"program": name, "time": median(taken) / unit, f"times {base}": ratio.text(), "range": spread}
        )
    return rows + [{"program": name, "time": reason} for name, reason in missing.items()]
