"""One training step, split into its phases."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from harness import Outcome, installed
from options import Options
from shapes import Problem
from worker import Timing, Worker

from subjects.epoch import FLOOR, TORCH, start

MINE = ("peers.milk_phases", {}, ("milk-np",), {})
PEERS = {"torch, best, eager": ("peers.torch_best", {}, TORCH, {})}


def phases(worker: Worker, steps: int, into: list[dict[str, float]]) -> Callable[[], float]:
    """A call that runs some steps and keeps the times of their phases."""

    def call() -> float:
        whole = worker.time("phases", steps=steps)
        into.append(worker.last["value"])
        return Timing(whole / steps, whole.others)

    return call


def measure(options: Options) -> list[Outcome]:
    """Milliseconds of every phase."""
    folder, problem = options.problem(), Problem(options.problem())
    entries = {"products alone": FLOOR, "milk_np": MINE} | {k: v for k, v in PEERS.items() if installed(*v[2])}
    workers = {name: start(entry, folder, "reference") for name, entry in entries.items()}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    try:
        calls = {name: phases(worker, problem.steps, taken[name]) for name, worker in workers.items()}
        seconds = options.interleave(calls, 7)
    finally:
        for worker in workers.values():
            worker.close()
    kept = {name: middle([taken[name][turn] for turn in seconds.turns]) for name in workers}
    return [report(kept, seconds, [name for name in PEERS if name not in entries])]


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Median of each phase over rounds."""
    return {name: median(taken[name] for taken in rounds) for name in rounds[0]}


def report(kept: dict[str, dict[str, float]], seconds, missing: list[str]) -> Outcome:
    """Tables of the phases, one below the other."""
    floor, mine = kept["products alone"], kept["milk_np"]
    rows = []
    for name, phases_of in kept.items():
        whole = sum(phases_of.values())
        for phase, taken in phases_of.items():
            rows.append({"program": name, "phase": phase, "ms": 1e3 * taken, "share": f"{taken / whole:.1%}"})
        rows.append({"program": name, "phase": "whole step", "ms": 1e3 * whole, "share": ""})
    rows += [{"program": name, "phase": "not installed"} for name in missing]
    above = sum(mine.values()) - sum(floor.values())
    products = sum(mine[name] - floor[name] for name in floor)
    notes = [
        f"Beside the products alone the step takes {1e3 * above:+.3g} ms: {1e3 * products:+.3g} ms in its own "
        f"products and {1e3 * (above - products):+.3g} ms in everything else, sampling included.",
        seconds.note(),
    ]
    return Outcome(
        "step",
        "One step by phases",
        ["program", "phase", "ms", "share"],
        rows,
        notes,
        {"seconds": seconds, "phases": kept},
    )
