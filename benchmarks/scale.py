"""Does the cost grow with the work, and not with the tables?

`python benchmarks/scale.py users`: step time and peak memory with 100,000 to 10 million users, items and batch alike.
`python benchmarks/scale.py limit`: a set whose features are three times the memory that a control group leaves the
process, trained to the same model as without the limit (needs the right to make a control group of memory).

Every measurement is a process of its own. Prints Markdown and writes results/scale.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from worker import peak_memory

RESULTS = Path(__file__).parent / "results" / "scale.json"
USERS = (100_000, 1_000_000, 10_000_000)
CGROUP = Path("/sys/fs/cgroup/memory")


def pairs(n_users: int, n_items: int, per_user: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`per_user` distinct random items of the first four fifths for every user."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users, dtype=np.int32), per_user)
    step = n_items * 4 // 5 // per_user
    item = rng.integers(0, step, len(user), dtype=np.int32) + np.tile(
        np.arange(per_user, dtype=np.int32) * step, n_users
    )
    return user, item


def user_worker(n_users: int, widths: list[int]) -> dict[str, float]:
    """Median step of a model with `n_users` users, and peak memory over the size of the arrays."""
    from milk_np import Dataset, Milk

    n_items = 7050
    user, item = pairs(n_users, n_items, 2)
    item_split = np.zeros(n_items, np.uint8)
    item_split[n_items * 4 // 5 :] = 1 + np.arange(n_items - n_items * 4 // 5) % 2
    rng = np.random.default_rng(1)
    features = {f"m{m}": rng.standard_normal((n_items, D), np.float32) for m, D in enumerate(widths)}
    available = np.ones((n_items, len(widths)), bool)
    split = np.zeros(len(user), np.uint8)
    ds = Dataset(user, item, split, item_split, tuple(features), features, available, check_features=False)
    model = Milk(epochs=1)
    began = time.perf_counter()
    trainer = model.trainer(ds)
    ready = time.perf_counter() - began
    seconds = []
    for number in range(400):
        epoch, step = divmod(number, trainer.steps)
        began = time.perf_counter()
        trainer.step(epoch + 1, step)
        seconds.append(time.perf_counter() - began)
    arrays = [*ds.arrays().values(), *trainer.state().values(), *trainer.engine.sampler._arrays]
    size = sum(x.nbytes for x in arrays)
    peak = peak_memory()
    milliseconds = np.array(seconds[100:]) * 1e3
    return {
        "users": n_users,
        "step ms": float(np.median(milliseconds)),
        "quartiles ms": [float(q) for q in np.percentile(milliseconds, [25, 75])],
        "set-up s": ready,
        "arrays GB": size / 2**30,
        "peak GB": peak / 2**30,
        "peak / arrays": peak / size,
    }


def limit_worker(folder: str) -> dict[str, object]:
    """Digest of the model after an epoch on the set in `folder`."""
    from milk_np import Dataset, Milk

    ds = Dataset.load(folder, check_features=False)
    model = Milk(epochs=1, dim=32, batch_size=512)
    began = time.perf_counter()
    trainer = model.trainer(ds)
    for step in range(min(30, trainer.steps)):
        trainer.step(1, step)
    trainer.flush()
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for _, x in model.params.arrays())).hexdigest()
    peak = peak_memory()
    ahead = trainer.engine._ahead._prefetcher is not None
    size = sum(x.nbytes for x in ds.features.values())
    return {
        "model": digest,
        "seconds": seconds,
        "peak GB": peak / 2**30,
        "features GB": size / 2**30,
        "reads ahead": ahead,
    }


def worker(*arguments: str, group: Path | None = None) -> dict:
    """Run this script's worker in a process of its own, inside the control group where one is given."""
    join = None if group is None else lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=join)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def users() -> list[dict]:
    """Table of step time by the number of users, for narrow and for wide features."""
    rows = []
    for widths in ("128,128", "4096,1024"):
        for count in USERS:
            rows.append({"widths": widths, **worker("--users", str(count), "--widths", widths)})
            print(rows[-1], flush=True)
    print("| widths | users | step, ms (quartiles) | over 100,000 users | arrays, GB | peak / arrays |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        base = next(r for r in rows if r["widths"] == row["widths"])
        low, high = row["quartiles ms"]
        ratio = row["step ms"] / base["step ms"]
        print(
            f"| {row['widths']} | {row['users']:,} | {row['step ms']:.2f} ({low:.2f}-{high:.2f}) "
            f"| {ratio:.2f} | "
            f"{row['arrays GB']:.2f} | {row['peak / arrays']:.2f} |"
        )
    return rows


def limit(megabytes: int = 512) -> dict:
    """The same model with and without a limit of a third of the features' size."""
    from milk_np.data.synthetic.large import write_synthetic
    from milk_np.data.synthetic.planted import Plan

    width = 8192
    n_items = 3 * megabytes * 2**20 // (4 * width)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        plan = Plan(n_users=20_000, n_items=n_items, n_pairs=200_000, widths={"image": width})
        write_synthetic(Path(folder) / "set", plan)
        group = CGROUP / "milk-scale"
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(megabytes * 2**20))
        evict(Path(folder) / "set")
        try:
            limited = worker("--limit", f"{folder}/set", group=group)
            most = int((group / "memory.max_usage_in_bytes").read_text()) / 2**30
        finally:
            group.rmdir()
        free = worker("--limit", f"{folder}/set")
    row = {"limit GB": megabytes / 1024, "used at most GB": most, "limited": limited, "free": free}
    print(json.dumps(row, indent=1))
    print("same model:", limited["model"] == free["model"])
    return row


def evict(folder: Path) -> None:
    """Take the files out of the page cache, so that reading them is charged to the process that does."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="?", choices=("users", "limit"))
    parser.add_argument("--users", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--widths", help=argparse.SUPPRESS)
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.users:
        print(json.dumps(user_worker(given.users, [int(w) for w in given.widths.split(",")])))
    elif given.limit:
        print(json.dumps(limit_worker(given.limit)))
    else:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[given.subject] = users() if given.subject == "users" else limit()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
