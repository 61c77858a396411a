"""Start-up: how long an import takes, and how long a new process takes to its first training step.

milk-train trains on the built-in data set, which it also generates; the frameworks train on the benchmark's problem,
which they read. "First use" starts from an empty cache of compiled code, every other start from a filled one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from harness import Outcome, Seconds, installed
from options import Options
from worker import RAN, THREAD_LIMITS, Timing, busy_seconds

FIRST_STEP = str(Path(__file__).resolve().parents[1] / "peers" / "first_step.py")
IMPORTS = {"milk_np": "milk-np", "numpy": "numpy", "numba": "numba", "torch": "torch", "jax": "jax"}
PEERS = {
    "torch, best, eager": ("torch_best", "torch"),
    "torch, best, compiled": ("torch_compiled", "torch"),
    "jax, best, jitted": ("jax_best", "jax"),
}
FIRST_USES = 3


def timed(arguments: list[str], env: dict[str, str] | None = None) -> Timing:
    """Seconds from the start of a Python process to its end, or to the time of day that it reports."""
    before, busy, start = os.times(), busy_seconds(), time.time()
    settings = os.environ | THREAD_LIMITS | (env or {})
    done = subprocess.run([sys.executable, *arguments], env=settings, capture_output=True, text=True, check=False)
    end, after = time.time(), os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    own = after.children_user + after.children_system - before.children_user - before.children_system
    others = max(0.0, busy_seconds() - busy - own) / (2 * (end - start))
    reported = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("first step ")]
    ran = [line.partition(" ")[2] for line in done.stderr.splitlines() if line.startswith("ran ")]
    if ran:
        RAN[arguments[1]] = json.loads(ran[-1])
    return Timing((float(reported[-1]) if reported else end) - start, others)


def measure(options: Options) -> list[Outcome]:
    """Both tables."""
    return [imports(options), first_steps(options)]


def imports(options: Options) -> Outcome:
    """Seconds of `python -c "import X"`."""
    present = [name for name, library in IMPORTS.items() if installed(library)]
    calls: dict[str, Callable[[], float]] = {"nothing": lambda: timed(["-c", "pass"])}
    calls |= {name: lambda n=name: timed(["-c", f"import {n}"]) for name in present}
    seconds = options.interleave(calls, 9)
    rows = [{"import": name, "seconds": median(taken)} for name, taken in seconds.items()]
    rows += [{"import": name, "seconds": "not installed"} for name in IMPORTS if name not in present]
    notes = ["Whole processes, the interpreter's own start and end included.", seconds.note()]
    return Outcome("startup_import", "Import", ["import", "seconds"], rows, notes, {"seconds": seconds})


def first_steps(options: Options) -> Outcome:
    """Seconds to the first step: from an empty cache, then from a filled one."""
    scratch, problem = Path(options.scratch.name), str(options.problem())
    numbers = iter(range(1000))

    def milk(cache: Path) -> Timing:
        return timed([FIRST_STEP, "milk-train", str(scratch / f"run{next(numbers)}")], {"NUMBA_CACHE_DIR": str(cache)})

    def peer(module: str, cache: Path) -> Timing:
        cached = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "JAX_COMPILATION_CACHE_DIR": str(cache)}
        return timed([FIRST_STEP, module, problem], cached)

    present = {name: module for name, (module, library) in PEERS.items() if installed(library)}
    programs: dict[str, Callable[[Path], float]] = {"milk-train": milk}
    programs |= {name: lambda cache, m=module: peer(m, cache) for name, module in present.items()}
    cold = {name: lambda p=program: p(scratch / f"cold{next(numbers)}") for name, program in programs.items()}
    first = options.interleave(cold, FIRST_USES, warmup=0)
    warm = {name: lambda p=program: p(scratch / "warm") for name, program in programs.items()}
    again = options.interleave(warm, 7)
    return report(first, again, [name for name in PEERS if name not in present])


def report(first: Seconds, again: Seconds, missing: list[str]) -> Outcome:
    """Table of first steps."""
    rows = [{"program": name, "first use, s": median(first[name]), "later, s": median(again[name])} for name in first]
    rows += [{"program": name, "first use, s": "not installed"} for name in missing]
    notes = [
        "From the start of the process to the end of its first training step.",
        f"First use: {first.note()}",
        f"Later: {again.note()}",
    ]
    raw = {"first": first, "later": again}
    return Outcome("startup_step", "First training step", list(rows[0]), rows, notes, raw)
