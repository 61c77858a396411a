"""Do negatives from a pool cost accuracy? MILK with and without, paired over draws of new items, masks and seeds.

`MILK_DATA=FOLDER python benchmarks/pooled.py [--pools 256 512] [--repeats 5]`, FOLDER holding lfm2k, tiktok and baby.
Each repeat draws new items, mask and training seed anew. Prints means, and for every pool the paired t-test of its
difference to no pool; writes results/pooled.json, from which finished runs are taken when it is started again.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from milk_np import Milk, evaluate
from milk_np.data import Preparation, apply_protocol, from_folder

RESULTS = Path(__file__).parent / "results" / "pooled.json"
SETS = ("lfm2k", "tiktok", "baby")
OPTIONS = {"invariance_weight": 1.0, "align_weight": 0.05, "epochs": 200, "eval_every": 5, "patience": 4, "threads": 1}
METRICS = ("valid ndcg@20", "valid recall@20", "test ndcg@20", "test recall@20")


def run(folder: Path, repeat: int, pool: int) -> dict[str, float]:
    """Metrics of the best epoch of one run."""
    ds = from_folder(folder, Preparation(split_seed=repeat))
    ds = apply_protocol(ds, "FTMT", seed=repeat)
    model = Milk(**OPTIONS, seed=repeat, negative_pool=pool).fit(ds)
    found = {f"{name} {key}": value for name, split in (("valid", 1), ("test", 2))
             for key, value in evaluate(model, ds, split).metrics.items()}  # fmt: skip
    return {name: found[name] for name in METRICS} | {"best epoch": model.history.best_epoch}


def table(done: dict[str, dict[str, float]], pools: list[int], repeats: int) -> str:
    """Markdown: mean of every pool, and p of its paired difference to no pool."""
    lines = ["| set | metric | " + " | ".join(f"pool {p}" if p else "no pool" for p in [0, *pools]) + " |"]
    lines.append("|---|---|" + "---|" * (len(pools) + 1))
    for name in SETS:
        for metric in METRICS:
            values = {p: [done[f"{name}/{r}/{p}"][metric] for r in range(repeats)] for p in [0, *pools]}
            cells = [f"{np.mean(values[0]):.4f}"]
            for p in pools:
                change = np.mean(values[p]) / np.mean(values[0]) - 1
                cells.append(
                    f"{np.mean(values[p]):.4f} ({change:+.1%}, p = {ttest_rel(values[p], values[0]).pvalue:.2f})"
                )
            lines.append(f"| {name} | {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    data = Path(os.environ["MILK_DATA"])
    done = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else {}
    for repeat in range(given.repeats):
        for name in SETS:
            for pool in [0, *given.pools]:
                key = f"{name}/{repeat}/{pool}"
                if key not in done:
                    done[key] = run(data / name, repeat, pool)
                    print(key, done[key], flush=True)
                    RESULTS.write_text(json.dumps({"options": OPTIONS, "runs": done}, indent=1) + "\n")
    print(table(done, given.pools, given.repeats))


if __name__ == "__main__":
    main()
