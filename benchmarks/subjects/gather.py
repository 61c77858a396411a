"""Gathering the feature rows of a batch into a reused float32 buffer, from float32 and from float16 features."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, installed, ratios
from options import Options
from shapes import Problem
from worker import Worker

GATHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "milk_np": ("peers.gather_milk", ("milk-np",)),
    "numpy.take": ("peers.gather_numpy", ()),
    "torch.index_select": ("peers.gather_torch", ("torch",)),
}
TOLERANCE = 1e-6  # milk_np rescales rows that are of length 1 to rounding (float16 ones to 1e-3)


def gathered(worker: Worker, scratch: Path) -> list[np.ndarray]:
    """What the worker's last call gave."""
    worker.call("gather")
    with np.load(worker.call("save", method="result", path=str(scratch / "rows.npz"))) as arrays:
        rows = [arrays[name] for name in sorted(arrays.files)]
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]


def check(workers: dict[str, Worker], scratch: Path) -> None:
    """RuntimeError where a program's rows, brought to length 1, aren't the first one's."""
    first = None
    for name, worker in workers.items():
        mine = gathered(worker, scratch)
        first = first or mine
        if any(np.abs(a - b).max() > TOLERANCE for a, b in zip(mine, first, strict=True)):
            raise RuntimeError(f"{name}: other rows")


def measure(options: Options) -> list[Outcome]:
    """Milliseconds for the rows of a batch."""
    folder, problem = options.problem(), Problem(options.problem())
    present = {name: entry for name, entry in GATHERS.items() if installed(*entry[1])}
    missing = [name for name in GATHERS if name not in present]
    rows, raw, notes = [], {}, []
    for stored, half in (("float32", False), ("float16", True)):
        workers = {
            name: Worker(module, {"problem": str(folder), "half": half}) for name, (module, _) in present.items()
        }
        try:
            check(workers, Path(options.scratch.name))
            calls = {name: lambda w=worker: w.time("gather", repeat=20) for name, worker in workers.items()}
            seconds = options.interleave(calls, 25, warmup=3)
        finally:
            for worker in workers.values():
                worker.close()
        for name, taken in seconds.items():
            ratio = ratios(seconds, name, "milk_np").text()
            rows.append({"stored as": stored, "program": name, "ms": 1e3 * median(taken), "times milk_np": ratio})
        raw[stored], notes = seconds, [f"{stored}: {seconds.note()}", *notes]
    rows += [{"stored as": "", "program": name, "ms": "not installed"} for name in missing]
    n = np.unique(np.concatenate(problem.batch(0)[1:3])).size
    notes = [f"{n:,} rows of widths {problem.shape.widths}. milk_np scales the rows too. Checked first: equal.", *notes]
    return [Outcome("gather", "Gather", ["stored as", "program", "ms", "times milk_np"], rows, notes, raw)]
