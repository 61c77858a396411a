"""A large table of pairs: does preparing it hold its memory and time? Against pyarrow, which only reads it.

`python benchmarks/large_table.py FOLDER [--pairs 1e8] [--ids numbers|text] [--rounds 1]` writes a Parquet table of
generated pairs and features of the items by id to FOLDER, then reads and prepares it in turn, in a process each.
Prints seconds and the most memory of each, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 1_000_000
READ = "import sys, pyarrow.parquet as pq; print(pq.read_table(sys.argv[1], columns=['user', 'item']).num_rows)"


def write_table(path: Path, pairs: int, users: int, items: int, text: bool) -> None:
    """Pairs in random order; popular items come more often."""
    rng = np.random.default_rng(0)
    kind = pa.string() if text else pa.int64()
    schema = pa.schema([("user", kind), ("item", kind), ("when", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, pairs, BLOCK):
            n = min(BLOCK, pairs - start)
            user = 1_000_000 + rng.integers(users, size=n)
            item = 5_000_000 + (rng.random(n) ** 2 * items).astype(np.int64)
            columns = [as_text(ids, text) for ids in (user, item)]
            writer.write_table(pa.table([*columns, np.arange(start, start + n)], schema=schema))


def as_text(ids: np.ndarray, text: bool) -> pa.Array:
    return pa.array(ids).cast(pa.string()) if text else pa.array(ids)


def write_features(path: Path, items: int) -> None:
    rows = np.random.default_rng(1).normal(size=(items, 8)).astype(np.float16)
    np.savez(path, item=5_000_000 + np.arange(items), image=rows)


def measured(command: list[str]) -> dict[str, float]:
    """Seconds and most memory (GiB) of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[:3]} failed with {status}")
    return {
        "seconds": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "gib": usage.ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=float, default=1e8)
    parser.add_argument("--ids", choices=("numbers", "text"), default="numbers")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pairs, text = int(given.pairs), given.ids == "text"
    users, items = max(10, pairs // 50), max(10, pairs // 200)
    table, features = given.folder / f"pairs-{given.ids}.parquet", given.folder / "image.npz"
    if not table.exists():
        write_table(table, pairs, users, items, text)
    write_features(features, items)
    prepare = [sys.executable, "-m", "milk_np.cli.prepare", str(table), str(features), "--merge-duplicates", "--quiet"]
    commands = {
        "pyarrow": [sys.executable, "-c", READ, str(table)],
        "milk-prepare": [*prepare, "--out", str(given.folder / "set")],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(given.rounds):
        for name, command in commands.items():
            found[name].append(measured(command))
            print(name, {key: round(value, 2) for key, value in found[name][-1].items()}, flush=True)
    ratio = {
        key: median(r[key] for r in found["milk-prepare"]) / median(r[key] for r in found["pyarrow"])
        for key in ("seconds", "cpu")
    }
    print(json.dumps({"pairs": pairs, "ids": given.ids, "bytes": table.stat().st_size, "ratio": ratio, "runs": found}))


if __name__ == "__main__":
    main()
