"""Evaluation of all users with a test pair over all new items, and its share of a training run.

Before anything is timed, the five metrics of every program at 10 and 20 are compared.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, Seconds, installed, ratios
from options import Options
from shapes import Problem
from worker import Worker

EVALUATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "milk_np": ("peers.evaluate_milk", ("milk-np",)),
    "faiss-cpu + Python metrics": ("peers.evaluate_faiss", ("faiss-cpu",)),
    "torch, matmul + topk + metrics": ("peers.evaluate_torch", ("torch",)),
}
TOLERANCE = 2e-4  # of a metric: float32 scores that tie to rounding may change places
EVERY = 10  # epochs between evaluations


def check(workers: dict[str, Worker], scratch: Path) -> dict[str, dict[str, float]]:
    """Figures of every program; RuntimeError when they differ."""
    figures: dict[str, dict[str, float]] = {}
    for name, worker in workers.items():
        worker.call("evaluate")
        with np.load(worker.call("save", method="result", path=str(scratch / "figures.npz"))) as arrays:
            figures[name] = {key: float(arrays[key]) for key in arrays}
        first = next(iter(figures.values()))
        if any(abs(figures[name][key] - first[key]) > TOLERANCE for key in first):
            raise RuntimeError(f"{name}: figures differ: {figures[name]} and {first}")
    return figures


def measure(options: Options) -> list[Outcome]:
    """Seconds of every program, and the engine's seconds per epoch beside them."""
    folder, problem = options.problem(), Problem(options.problem())
    present = {name: entry for name, entry in EVALUATIONS.items() if installed(*entry[1])}
    missing = [name for name in EVALUATIONS if name not in present]
    workers = {name: Worker(module, {"problem": str(folder)}) for name, (module, _) in present.items()}
    engine = Worker("peers.milk_engine", {"problem": str(folder), "how": "reference"})
    try:
        figures = check(workers, Path(options.scratch.name))
        calls = {name: lambda w=worker: w.time("evaluate", repeat=3) for name, worker in workers.items()}
        calls["an epoch of training"] = lambda: engine.time("run", steps=problem.steps)
        calls["the engine's own evaluation"] = lambda: engine.time("evaluate", repeat=3)
        seconds = options.interleave(calls, 9)
    finally:
        for worker in [*workers.values(), engine]:
            worker.close()
    return [report(problem, seconds, figures, missing)]


def report(problem: Problem, seconds: Seconds, figures: dict, missing: list[str]) -> Outcome:
    """Table of the evaluation."""
    rows = [
        {"program": name, "seconds": median(seconds[name]), "times milk_np": ratios(seconds, name, "milk_np").text()}
        for name in figures
    ]
    rows += [{"program": name, "seconds": "not installed"} for name in missing]
    epoch, own = median(seconds["an epoch of training"]), median(seconds["the engine's own evaluation"])
    share = own / (own + EVERY * epoch)
    users = np.unique(problem.user[problem.split == 2]).size
    notes = [
        f"{users:,} users, {np.count_nonzero(problem.item_split):,} new items, K = 20.",
        f"In training, with an evaluation every {EVERY} epochs, it takes {share:.1%} of the time ({own:.3g} s "
        f"beside {EVERY} epochs of {epoch:.3g} s), encoding of the new items included.",
        "Checked first: the same recall, NDCG, hit rate, MRR and MAP at 10 and 20.",
        seconds.note(),
    ]
    columns = ["program", "seconds", "times milk_np"]
    return Outcome(
        "evaluation", "Evaluation", columns, rows, notes, {"seconds": seconds, "figures": figures, "share": share}
    )
