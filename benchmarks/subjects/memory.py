"""Peak memory of training beside the size of the arrays that training needs.

Needed: the features once, the parameters and Adam's two moments, and the interactions. The peak is the process's
greatest resident size after some steps, the interpreter and its libraries included.
"""

from __future__ import annotations

from harness import Outcome, installed
from options import Options
from shapes import Problem

from subjects.epoch import PLAIN, TRAINERS, start

STEPS = 10


def needed(problem: Problem) -> int:
    """Bytes of features, parameters with both moments, and interactions."""
    features = sum(x.nbytes for x in problem.x)
    parameters = 3 * sum(x.nbytes for x in problem.parameters.values())
    return features + parameters + problem.user.nbytes + problem.item.nbytes + problem.split.nbytes


def measure(options: Options) -> list[Outcome]:
    """MiB at the peak of every program, one after the other."""
    folder, problem = options.problem(), Problem(options.problem())
    size = needed(problem)
    rows = []
    for name, entry in ({"NumPy, float64, all items": PLAIN} | TRAINERS).items():
        if not installed(*entry[2]):
            rows.append({"program": name, "peak MiB": "not installed"})
            continue
        with start(entry, folder, "reference") as worker:
            worker.call("run", steps=STEPS)
            peak = worker.call("peak_memory")
        rows.append({"program": name, "peak MiB": round(peak / 2**20), "peak / arrays": peak / size})
    notes = [f"Arrays needed: {size / 2**20:.0f} MiB. Peak resident size after {STEPS} steps, libraries included."]
    columns = ["program", "peak MiB", "peak / arrays"]
    return [Outcome("memory", "Peak memory of training", columns, rows, notes, {"needed": size})]
