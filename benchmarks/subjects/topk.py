"""Top-K retrieval: the 20 best of N items for each of Q users by dot product, 64 wide.

Before anything is timed, every program's scores are compared with the first one's, and where positions differ, that
the items scored the same to rounding.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from harness import Outcome, Seconds, installed, ratios
from isa import flags
from options import Options
from worker import Worker

K, WIDTH = 20, 64
# name: (module, arguments, libraries, settings of its process)
SEARCHES: dict[str, tuple[str, dict, tuple[str, ...], dict]] = {
    "milk_np": ("peers.search_milk", {}, ("milk-np",), {}),
    "faiss-cpu, flat": ("peers.search_faiss", {}, ("faiss-cpu",), {}),
    "torch, matmul + topk": ("peers.search_torch", {}, ("torch",), {}),
    "implicit, topk": ("peers.search_implicit", {"rows": 200}, ("implicit",), {}),
}
# The OpenBLAS inside the faiss wheel is old and picks AVX2 kernels on recent processors; its best user names the better
# ones. They ask for all of AVX512, and end a processor without them by an illegal instruction.
AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
FAISS_AVX512 = {
    "faiss-cpu, flat, AVX-512 OpenBLAS": ("peers.search_faiss", {}, ("faiss-cpu",), {"OPENBLAS_CORETYPE": "SkylakeX"})
}
SIZES = {"users to new items": (19_445, 1_410), "100,000 to 100,000": (100_000, 100_000)}
QUICK = {"smoke": (500, 2_000)}
TOLERANCE = 1e-4  # absolute, on scores of about 8 times a standard normal's


def write(folder: Path, queries: int, items: int) -> Path:
    """Random vectors in a folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name, rows in (("queries", queries), ("items", items)):
        np.save(folder / f"{name}.npy", rng.standard_normal((rows, WIDTH), dtype=np.float32))
    return folder


def found(worker: Worker, scratch: Path) -> dict[str, np.ndarray]:
    """Result of the worker's last search."""
    worker.call("search")
    with np.load(worker.call("save", method="result", path=str(scratch / "found.npz"))) as arrays:
        return dict(arrays)


def check(workers: dict[str, Worker], scratch: Path) -> dict[str, float]:
    """Share of places with another item than the first program's; RuntimeError where scores differ."""
    first, moved = None, {}
    for name, worker in workers.items():
        mine = found(worker, scratch)
        first = first or mine
        gap = float(np.abs(mine["score"] - first["score"]).max())
        if gap > TOLERANCE:
            raise RuntimeError(f"{name}: scores differ by up to {gap}")
        moved[name] = float((mine["index"] != first["index"]).mean())
    return moved


def searches(flags: set[str]) -> dict[str, tuple[str, dict, tuple[str, ...], dict]]:
    """Programs that a processor with these `flags` can run."""
    return SEARCHES | (FAISS_AVX512 if flags >= AVX512 else {})


def measure(options: Options) -> list[Outcome]:
    """One table for each size."""
    sizes = QUICK if options.quick else SIZES
    return [measure_size(options, name, *size) for name, size in sizes.items()]


def measure_size(options: Options, title: str, queries: int, items: int) -> Outcome:
    """Seconds of every program at one size."""
    scratch = Path(options.scratch.name)
    folder = write(scratch / f"search-{queries}-{items}", queries, items)
    wanted = searches(flags(options.isa))
    present = {name: entry for name, entry in wanted.items() if installed(*entry[2])}
    missing = [name for name in wanted if name not in present]
    workers = {
        name: Worker(module, {"folder": str(folder), "k": K, **args}, env)
        for name, (module, args, _, env) in present.items()
    }
    try:
        moved = check(workers, scratch)
        before = {name: worker.call("peak_memory") for name, worker in workers.items()}
        calls = {name: lambda w=worker: w.time("search") for name, worker in workers.items()}
        seconds = options.interleave(calls, 5, warmup=0)
    finally:
        for worker in workers.values():
            worker.close()
    return report(title, queries, items, seconds, moved, before, missing)


def report(
    title: str, queries: int, items: int, seconds: Seconds, moved: dict, memory: dict, missing: list[str]
) -> Outcome:
    """Table of one size."""
    rows = []
    for name, taken in seconds.items():
        rows.append(
            {"program": name, "seconds": median(taken), "times milk_np": ratios(seconds, name, "milk_np").text()}
        )
        rows[-1] |= {"GFLOP/s": 2e-9 * queries * items * WIDTH / median(taken), "peak MiB": round(memory[name] / 2**20)}
    rows += [{"program": name, "seconds": "not installed"} for name in missing]
    notes = [
        f"{queries:,} users, {items:,} items, {WIDTH} wide, {K} best. GFLOP/s counts the product alone. The peak "
        "includes the interpreter and the libraries.",
        f"Checked first: same scores; of all places at most {max(moved.values()):.1e} hold another item, of the same "
        "score to rounding.",
        seconds.note(),
    ]
    columns = ["program", "seconds", "times milk_np", "GFLOP/s", "peak MiB"]
    subject = f"topk_{queries}x{items}"
    return Outcome(subject, f"Top-K, {title}", columns, rows, notes, {"seconds": seconds, "moved": moved})
