"""A training epoch: every program takes the same triplets, environment draws and starting parameters.

Before anything is timed, the gradients of the first step are compared with the float64 program's, and the
losses of the first steps and the parameters after them with each other.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, Seconds, Spread, installed, ratios
from options import Options
from shapes import Problem
from worker import Worker

TORCH, JAX = ("torch",), ("jax", "jaxlib")
# glibc gives big blocks back to the system at every free, and fresh pages cost as much as a row gather. JAX
# can't reuse buffers for the gathered rows, so its process is told to keep memory; PyTorch
# gathers into buffers of its own and is slower with these settings.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
# name: (module, arguments, libraries, settings of its process)
TRAINERS: dict[str, tuple[str, dict, tuple[str, ...], dict]] = {
    "milk_np": ("peers.milk_engine", {}, ("milk-np",), {}),
    "torch, all items": ("peers.torch_all_items", {}, TORCH, {}),
    "torch, all items, aligned apart": ("peers.torch_all_items", {"align_apart": True}, TORCH, {}),
    "torch, best, eager": ("peers.torch_best", {}, TORCH, {}),
    "torch, best, compiled": ("peers.torch_best", {"compiled": "dynamic"}, TORCH, {}),
    "jax, best, jitted": ("peers.jax_best", {}, JAX, KEEP_MEMORY),
}
FLOOR = ("peers.floor", {}, (), {})
PLAIN = ("peers.numpy_plain", {}, (), {})
CHECKED_STEPS = 5
SLICES = 4  # turns that an epoch is cut into, so that the programs alternate often
GRADIENT_TOLERANCE = 1e-4  # greatest difference over greatest element, float32 against float64
LOSS_TOLERANCE = 1e-4  # relative


def start(entry: tuple, problem: Path, how: str) -> Worker:
    """The worker of a program on a problem."""
    module, args, _, env = entry
    return Worker(module, {"problem": str(problem), "how": how, **args}, env)


def gradients(worker: Worker, scratch: Path) -> dict[str, np.ndarray]:
    """Gradients of the worker's next step."""
    path = worker.call("save", method="gradients", path=str(scratch / "gradients.npz"))
    with np.load(path) as arrays:
        return dict(arrays)


def check(workers: dict[str, Worker], plain: Worker, scratch: Path) -> dict[str, dict[str, float]]:
    """Differences from the float64 program: gradients of step 1 (biases apart), losses of the first steps.

    Raises RuntimeError with the program's name and the difference when one is over its tolerance.
    """
    truth, losses = gradients(plain, scratch), np.array(plain.call("run", steps=CHECKED_STEPS))
    report = {}
    for name, worker in workers.items():
        grads = gradients(worker, scratch)
        off = {key: gap(grads[key], truth[key]) for key in truth if key[0] in "PW"}
        loss = float(np.max(np.abs(np.array(worker.call("run", steps=CHECKED_STEPS)) / losses - 1.0)))
        report[name] = {"gradients": max(off.values()), "losses": loss}
        if max(off.values()) > GRADIENT_TOLERANCE or loss > LOSS_TOLERANCE:
            raise RuntimeError(f"{name} computes something else: gradients {off}, losses {loss}")
    return report


def gap(mine: np.ndarray, truth: np.ndarray) -> float:
    """Greatest difference over the greatest element."""
    return float(np.abs(mine - truth).max() / np.abs(truth).max())


def measure(options: Options) -> list[Outcome]:
    """Seconds per epoch of every program."""
    folder, problem = options.problem(), Problem(options.problem())
    present = {name: entry for name, entry in TRAINERS.items() if installed(*entry[2])}
    missing = {name: "not installed" for name in TRAINERS if name not in present}
    workers = {name: start(entry, folder, "reference") for name, entry in present.items()}
    floor = start(FLOOR, folder, "reference")
    try:
        with start(PLAIN, folder, "reference") as plain:
            checked = check(workers, plain, Path(options.scratch.name))
        everyone = {"products alone (floor)": floor} | workers
        steps = max(1, problem.steps // SLICES)
        calls = {name: lambda w=worker: w.time("run", steps=steps) for name, worker in everyone.items()}
        seconds = options.interleave(calls, 2 * SLICES)
    finally:
        for worker in [*workers.values(), floor]:
            worker.close()
    return [report(problem, steps, seconds, checked, missing)]


def worst(checked: dict[str, dict[str, float]], what: str) -> float:
    """Greatest difference over all programs."""
    return max(differences[what] for differences in checked.values())


def report(problem: Problem, steps: int, seconds: Seconds, checked: dict, missing: dict[str, str]) -> Outcome:
    """Table of the epoch."""
    rows = []
    for name, taken in seconds.items():
        row = {"program": name, "s per epoch": median(taken) * problem.steps / steps}
        for base in seconds:
            if base.startswith(("products", "milk_np")):
                row[f"times {base.split(' (')[0]}"] = ratios(seconds, name, base).text()
        rows.append(row)
    rows += [{"program": name, "s per epoch": why} for name, why in missing.items()]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    shape = problem.shape
    unique = Spread.of([float(np.unique(np.concatenate(problem.batch(s)[1:3])).size) for s in range(problem.steps)])
    notes = [
        f"{shape.users:,} users, {shape.items:,} items, widths {shape.widths}, {problem.u.size:,} triplets "
        f"({problem.interactions} interactions) in {problem.steps} steps of {shape.batch}, "
        f"{unique.median:.0f} distinct items a step; preset reference; sampling not included. Programs take turns "
        f"of {steps} steps.",
        seconds.note(),
        f"Checked first against float64: greatest gradient difference {worst(checked, 'gradients'):.1e} "
        f"of the greatest element, greatest relative loss difference {worst(checked, 'losses'):.1e}.",
    ]
    raw = {"seconds": seconds, "checked": checked}
    return Outcome("epoch", "Training epoch", columns, rows, notes, raw)
