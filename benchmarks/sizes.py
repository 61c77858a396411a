"""What a kernel profile costs as items, users and pairs grow.

`python benchmarks/sizes.py --items 10000 100000 1000000 --scratch DIR`: sets of that many items by the built-in
generator, image 512 and text 384 in float16, ten users and a hundred pairs for each item, a fifth of the items new and
half of these without one modality (FTMT). Each is written to a folder of `--scratch`, mapped from there, fitted with
`--memory`, and 100,000 users' 20 best of the new items are found; for some users they are compared with plain NumPy.

Every size is a process of its own. Core minutes are CPU time of all threads. Memory is what the process holds itself
(RssAnon), read every 20 ms: the data and histories of more than a gigabyte are mapped files. Prints Markdown and writes
results/sizes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import isa
from harness import machine

RESULTS = Path(__file__).parent / "results" / "sizes.json"
ITEMS = (10_000, 100_000, 1_000_000)
USERS_PER_ITEM, PAIRS_PER_ITEM = 10, 100
WIDTHS = {"image": 512, "text": 384}
RANKING, K, CHECKED = 100_000, 20, 64
BLOCK = 10_000


class Meter:
    """CPU and wall seconds of phases, and the most memory held meanwhile."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self._name, self._began, self._most = "", (0.0, 0.0), 0
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._most = max(self._most, held_bytes())
            time.sleep(0.02)

    def begin(self, name: str) -> None:
        """The phase `name` begins, and the one before it ends."""
        now = time.process_time(), time.perf_counter()
        if self._name:
            cpu, wall = (after - before for after, before in zip(now, self._began, strict=True))
            most = max(self._most, held_bytes())
            self.phases[self._name] = {"CPU s": cpu, "wall s": wall, "held GiB": most / 2**30}
            print(f"{self._name}: {cpu:.1f} CPU s, {wall:.1f} s, {most / 2**30:.2f} GiB", file=sys.stderr, flush=True)
        with self._lock:
            self._name, self._began, self._most = name, now, held_bytes()


def held_bytes() -> int:
    """Memory that this process holds and that isn't a file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def build(folder: Path, n: int) -> None:
    """Write the set of `n` items."""
    from milk_np.data.missing import Mask
    from milk_np.data.synthetic.large import write_synthetic
    from milk_np.data.synthetic.planted import Plan

    plan = Plan(USERS_PER_ITEM * n, n, PAIRS_PER_ITEM * n, WIDTHS, half=True)
    write_synthetic(folder, plan, Mask("FTMT"))


def worker(folder: Path, memory: str) -> dict[str, Any]:
    """Costs of fitting the set in `folder` and of the users' lists, and what they were checked against."""
    from milk_np.machine import threads

    threads.prepare([])
    from milk_np import Dataset, KernelProfile

    meter = Meter()
    meter.begin("loading")
    ds = Dataset.load(folder, check_features=False)
    model = KernelProfile(memory=memory)
    model.fit(ds, callback=lambda event: meter.begin(event.phase) if event.kind == "phase" else None)
    meter.begin("lists")
    equal, users = lists(model, ds)
    meter.begin("")
    phases = meter.phases
    fit = {name: sum(each[name] for phase, each in phases.items() if phase != "lists") for name in ("CPU s", "wall s")}
    return {
        "items": ds.n_items, "users": ds.n_users, "pairs": len(ds.user), "new items": len(ds.new_items()),
        "fit": fit | {"held GiB": max(each["held GiB"] for name, each in phases.items() if name != "lists")},
        "lists": phases["lists"] | {"users": users, "equal": equal}, "phases": phases, "memory": memory,
        "kernel": str(model.kernel),
    }  # fmt: skip


def lists(model: Any, ds: Any) -> tuple[float, int]:
    """Find the lists of RANKING users; the share of some lists' items that plain NumPy lists, too."""
    import numpy as np

    users = np.arange(min(RANKING, ds.n_users), dtype=np.int32)
    items = ds.new_items()
    Z = model.item_factors(items)
    blocks = [users[start : start + BLOCK] for start in range(0, len(users), BLOCK)]
    found = [model.top_k(model.user_factors(block), Z, K)[0] for block in blocks]
    scores = model.user_factors(users[:CHECKED]).astype(np.float64) @ Z.T.astype(np.float64)
    best = np.argsort(-scores, axis=1)[:, :K]
    same = [len(np.intersect1d(a, b)) for a, b in zip(best, found[0], strict=False)]
    return float(np.mean(same) / min(K, len(items))), len(users)


def measure(n: int, scratch: Path, memory: str) -> dict[str, Any]:
    """Costs at `n` items; the set is removed afterwards."""
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix=f"items-{n}-"))
    try:
        began = time.perf_counter()
        build(folder / "set", n)
        built = time.perf_counter() - began
        size = sum(path.stat().st_size for path in (folder / "set").iterdir()) / 2**30
        print(f"{n:,} items: {size:.2f} GiB written in {built:.0f} s", file=sys.stderr, flush=True)
        line = [sys.executable, __file__, "--worker", str(folder / "set"), "--memory", memory]
        done = subprocess.run(
            line, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"TMPDIR": str(folder)}
        )
        about = {"machine": machine(), "set GiB": size, "building s": built}
        return {**about, **json.loads(done.stdout.strip().splitlines()[-1])}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| items | users | pairs | fit, core minutes | wall, minutes | memory held, GiB "
        "| core seconds for 10,000 items | lists of 100,000 users, core minutes | memory held, GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(results.values(), key=lambda each: each["items"]):
        fit, found = row["fit"], row["lists"]
        sizes = " | ".join(f"{row[name]:,}" for name in ("items", "users", "pairs"))
        lines.append(
            f"| {sizes} | {fit['CPU s'] / 60:.2f} | {fit['wall s'] / 60:.2f} "
            f"| {fit['held GiB']:.2f} | {fit['CPU s'] / row['items'] * 1e4:.1f} | {found['CPU s'] / 60:.2f} "
            f"| {found['held GiB']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=ITEMS)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="folder for the sets")
    parser.add_argument("--memory", default="4GiB", help="of the fit")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(worker(given.worker, given.memory)))
        return
    isa.hold("native")
    given.scratch.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for n in given.items:
        results[str(n)] = measure(n, given.scratch, given.memory)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
