"""Adam on a table whose gradient touches few rows, and on one that it fills.

Before anything is timed, the tables of all programs are compared after some steps, untouched rows included.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, installed, ratios
from options import Options
from worker import Worker

OPTIMISERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "milk_np": ("peers.optimise_milk", ("milk-np",)),
    "torch, fused": ("peers.optimise_torch", ("torch",)),
    "NumPy": ("peers.optimise_numpy", ()),
}
# rows, width, touched rows: the extractors' weights, the users of the Baby shape, a million users
SIZES = ((5_120, 64, 5_120), (19_445, 64, 1_920), (1_000_000, 64, 2_048))
QUICK = ((64, 16, 64), (300, 16, 40))
STEPS, CHECKED_STEPS = 20, 30
LARGE = 100_000  # rows from which on that many steps take long enough
TOLERANCE = 1e-5  # absolute, after 30 steps of about 1e-3 each


def check(workers: dict[str, Worker], scratch: Path) -> float:
    """Greatest difference of any program's table from the first one's; RuntimeError over the tolerance."""
    tables, worst = {}, 0.0
    for name, worker in workers.items():
        worker.call("run", steps=CHECKED_STEPS)
        with np.load(worker.call("save", method="settled", path=str(scratch / "table.npz"))) as arrays:
            tables[name] = arrays["table"]
        gap = float(np.abs(tables[name] - next(iter(tables.values()))).max())
        if gap > TOLERANCE:
            raise RuntimeError(f"{name}: the table differs by {gap}")
        worst = max(worst, gap)
    return worst


def measure(options: Options) -> list[Outcome]:
    """Milliseconds a step at every size."""
    present = {name: entry for name, entry in OPTIMISERS.items() if installed(*entry[1])}
    missing = [name for name in OPTIMISERS if name not in present]
    rows, notes, raw = [], [], {}
    for size in QUICK if options.quick else SIZES:
        args = dict(zip(("n", "width", "touched"), size, strict=True))
        workers = {name: Worker(module, args) for name, (module, _) in present.items()}
        try:
            gap = check(workers, Path(options.scratch.name))
            steps = STEPS if size[0] >= LARGE else 10 * STEPS
            calls = {name: lambda w=worker, s=steps: w.time("run", steps=s) for name, worker in workers.items()}
            seconds = options.interleave(calls, 9)
        finally:
            for worker in workers.values():
                worker.close()
        table, touched = f"{size[0]:,} x {size[1]}", f"{size[2]:,}"
        for name, taken in seconds.items():
            ratio = ratios(seconds, name, "milk_np").text()
            rows.append({"table": table, "rows touched": touched, "program": name, "ms": 1e3 * median(taken) / steps})
            rows[-1]["times milk_np"] = ratio
        notes.append(
            f"{table}: greatest difference of the tables after {CHECKED_STEPS} steps {gap:.1e}; {seconds.note()}"
        )
        raw[table] = seconds
    rows += [{"table": "", "program": name, "ms": "not installed"} for name in missing]
    return [Outcome("optimiser", "Optimiser step (Adam)", list(rows[0]), rows, notes, raw)]
