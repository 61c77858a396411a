"""Negative sampling of one epoch: every training pair once, in random order, with a negative the user hasn't.

Every program draws its own; what is checked is what all promise: every pair once, no negative that the user has, and
negatives uniform over the items (chi-square).
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, Seconds, installed, ratios
from options import Options
from shapes import Problem
from worker import Worker

SAMPLERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "milk_np": ("peers.sample_milk", ("milk-np",)),
    "NumPy, all at once": ("peers.sample_numpy", ()),
    "Python loop": ("peers.sample_python", ()),
}


def check(name: str, problem: Problem, drawn: dict[str, np.ndarray]) -> float:
    """Standard deviations by which the chi-square of the negatives is off; RuntimeError where a promise is broken."""
    train = problem.split == 0
    size = np.int64(problem.shape.items)
    pairs = np.sort(problem.user[train] * size + problem.item[train])
    if not np.array_equal(np.sort(drawn["u"] * size + drawn["i"]), pairs):
        raise RuntimeError(f"{name}: the epoch isn't every training pair once")
    if np.isin(drawn["u"] * size + drawn["j"], pairs).any():
        raise RuntimeError(f"{name}: a negative is an item that the user has")
    return uniformity(problem, drawn["u"], drawn["j"])


def uniformity(problem: Problem, user: np.ndarray, negative: np.ndarray) -> float:
    """Chi-square of the counts by item against what uniform draws outside each user's items give, standardised."""
    train = problem.split == 0
    owned = np.bincount(problem.user[train], minlength=problem.shape.users)
    draws = np.bincount(user, minlength=problem.shape.users)
    weight = draws / (problem.shape.items - owned)
    expected = weight.sum() - np.bincount(problem.item[train], weight[problem.user[train]], problem.shape.items)
    counts = np.bincount(negative, minlength=problem.shape.items)
    chi = ((counts - expected) ** 2 / expected).sum()
    return float((chi - expected.size) / np.sqrt(2 * expected.size))


def measure(options: Options) -> list[Outcome]:
    """Millions of triplets a second."""
    folder, problem = options.problem(), Problem(options.problem())
    present = {name: entry for name, entry in SAMPLERS.items() if installed(*entry[1])}
    missing = [name for name in SAMPLERS if name not in present]
    workers = {name: Worker(module, {"problem": str(folder)}) for name, (module, _) in present.items()}
    path = str(Path(options.scratch.name) / "drawn.npz")
    try:
        off = {}
        for name, worker in workers.items():
            with np.load(worker.call("save", method="epoch", path=path)) as drawn:
                off[name] = check(name, problem, dict(drawn))
        calls = {name: lambda w=worker: w.time("draw", repeat=20) for name, worker in workers.items()}
        seconds = options.interleave(calls, 9)
    finally:
        for worker in workers.values():
            worker.close()
    return [report(problem, seconds, off, missing)]


def report(problem: Problem, seconds: Seconds, off: dict[str, float], missing: list[str]) -> Outcome:
    """Table of sampling."""
    rows = []
    for name, taken in seconds.items():
        rows.append({"program": name, "ms an epoch": 1e3 * median(taken)})
        rows[-1]["million triplets / s"] = 1e-6 * problem.u.size / median(taken)
        rows[-1]["times milk_np"] = ratios(seconds, name, "milk_np").text()
    rows += [{"program": name, "ms an epoch": "not installed"} for name in missing]
    notes = [
        f"{problem.u.size:,} triplets in batches of {problem.shape.batch}; negatives over all items.",
        "Checked first: every pair once, no negative that the user has; chi-square of the negatives over the items off "
        f"by {min(off.values()):.1f} to {max(off.values()):.1f} standard deviations.",
        seconds.note(),
    ]
    columns = list(rows[0])
    return Outcome("sampling", "Negative sampling", columns, rows, notes, {"seconds": seconds, "chi_square": off})
