"""First use: `milk-train` from an empty cache of compiled kernels, by what it waits for.

The wall time tells what a user waits on a quiet machine. Where the machine is busy, the CPU time of the command's own
process tells about as much: helpers are other processes, on other cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from harness import Outcome, Seconds, ratios
from options import Options
from worker import RAN, THREAD_LIMITS, Timing, busy_seconds

PROGRAM = str(Path(__file__).resolve().parents[1] / "peers" / "first_use.py")
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "milk-train": (1, ()),
    "milk-train, no helper": (0, ()),
    "milk-train --preset best": (1, ("--preset", "best")),
    "milk-train --preset best, no helper": (0, ("--preset", "best")),
}
USES, SHOWN = 3, 4


def use(name: str, scratch: Path, told: list[dict[str, Any]]) -> Timing:
    """Seconds of a command to the end of its first step, or of its fit.

    What it told goes to `told`, what its libraries ran to `worker.RAN`.
    """
    helpers, options = COMMANDS[name]
    before, busy = os.times(), busy_seconds()
    settings = os.environ | THREAD_LIMITS | {"NUMBA_CACHE_DIR": str(scratch / "kernels")}
    line = [sys.executable, PROGRAM, str(helpers), str(scratch / "run"), *options]
    done = subprocess.run(line, env=settings, capture_output=True, text=True, check=False)
    reports = [text for text in done.stderr.splitlines() if text.startswith("first use ")]
    if not reports:
        raise RuntimeError(f"{' '.join(line)} ended with {done.returncode}: {done.stderr[-2000:]}")
    told.append(json.loads(reports[-1].removeprefix("first use ")))
    RAN[name] = told[-1].pop("ran")
    after = os.times()
    own = after.children_user + after.children_system - before.children_user - before.children_system
    seconds = told[-1]["wall"]
    return Timing(seconds, max(0.0, busy_seconds() - busy - own) / (2 * seconds))


def measure(options: Options) -> list[Outcome]:
    """The table; every use starts from a folder of its own."""
    numbers = iter(range(1000))
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in COMMANDS}

    def fresh() -> Path:
        folder = Path(options.scratch.name) / f"first-use-{next(numbers)}"
        folder.mkdir()
        return folder

    calls: dict[str, Callable[[], float]] = {name: lambda n=name: use(n, fresh(), told[n]) for name in COMMANDS}
    seconds = options.interleave(calls, USES, warmup=0)
    return [report(seconds, {name: [told[name][turn] for turn in seconds.turns] for name in COMMANDS})]


def report(seconds: Seconds, told: dict[str, list[dict[str, Any]]]) -> Outcome:
    """Table of first uses."""
    rows, notes = (
        [],
        ["From the start of the process to the end of its first training step, or of a closed form's fit."],
    )
    for name, uses in told.items():
        compiled = [sum(each["kernels"].values()) for each in uses]
        rows.append({"command": name, "wall, s": median(seconds[name]), "CPU, s": median(each["cpu"] for each in uses)})
        rows[-1]["compiling, CPU s"] = median(compiled)
        rows[-1]["kernels"] = median(len(each["kernels"]) for each in uses)
        rows[-1]["times the first"] = ratios(seconds, name, "milk-train").text()
        notes.append(f"{name}: {longest(uses[-1])}")
    notes.append(f"CPU is that of the command's own process. {seconds.note()}")
    return Outcome("first_use", "First use", list(rows[0]), rows, notes, {"seconds": seconds, "told": told})


def longest(used: dict[str, Any]) -> str:
    """Phases of a use, and the kernels that took it longest."""
    phases = ", ".join(f"{name} after {cpu:.1f} CPU s" for name, (_, cpu) in used["phases"].items())
    order = sorted(used["kernels"].items(), key=lambda each: -each[1])[:SHOWN]
    return f"{phases}; {', '.join(f'{name} {taken:.1f}' for name, taken in order)}."
