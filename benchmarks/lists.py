"""What lists to a file cost: CPU seconds of milk-recommend for 500 new items and all users of Amazon Baby, to Parquet.

    MILK_DATA=... python benchmarks/lists.py

The new items are noisy copies of some of the catalogue's, a quarter of them without text. They are ranked alone
(--new-item) and together with the catalogue's new items (--fresh), by --preset best. Every so manieth user's list is
compared with float64. Without MILK_DATA the set is synthetic, of the same counts. Writes results/lists.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import harness
import numpy as np
import pyarrow.parquet as parquet

from milk_np.data import Dataset, make_synthetic
from milk_np.models.stored import StoredModel, load

RESULTS = Path(__file__).parent / "results" / "lists.json"
USERS, ITEMS, PAIRS, FRESH, K, EVERY = 19_445, 7_050, 160_792, 500, 20, 97
Rows = dict[str, np.ndarray[Any, Any]]


def command(name: str, *line: str) -> None:
    """Run a command of the project."""
    subprocess.run(
        [sys.executable, "-m", f"milk_np.cli.{name}", *line, "--quiet"], check=True, stderr=subprocess.DEVNULL
    )


def make_data(folder: Path) -> tuple[Path, str]:
    """The data set, and what it is."""
    data, real = folder / "data.npz", Path(os.environ.get("MILK_DATA", ""), "baby")
    if not (real / "interactions.csv.gz").exists():
        make_synthetic(USERS, ITEMS, PAIRS, {"image": 128, "text": 128}, seed=0).save(data)
        return data, "synthetic, of the counts of Amazon Baby"
    features = [f"--features={name}={real / name}.npy" for name in ("image", "text")]
    command("prepare", str(real / "interactions.csv.gz"), *features, "--out", str(data))
    return data, "Amazon Baby"


def make_fresh(ds: Dataset, path: Path) -> Rows:
    """Rows of new items, also written as a file."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(ds.n_items, FRESH, replace=False)
    rows: Rows = {}
    for name in ds.modalities:
        own = np.asarray(ds.features[name][chosen], np.float32)
        rows[name] = own + np.float32(0.1 * own.std()) * rng.standard_normal(own.shape, np.float32)
    rows[ds.modalities[-1]][: FRESH // 4] = np.nan
    np.savez(path, item_ids=np.array([f"new-{n}" for n in range(FRESH)]), **rows)
    return rows


def cpu_seconds(name: str, *line: str) -> float:
    """CPU seconds of a command and its threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command(name, *line)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wrong(model: StoredModel, rows: Rows, path: Path, pooled: bool) -> int:
    """Of every so manieth user, lists whose scores aren't the best in float64, up to rounding of float32."""
    vectors = model.encode_items(rows).astype(np.float64)
    if pooled:
        vectors = np.vstack([model.item_factors(model.catalogue.new_items()), vectors])
    table = parquet.read_table(path)
    user, score = np.asarray(table["user"]).astype(np.int64), np.asarray(table["score"])
    count = 0
    for u in range(0, model.catalogue.n_users, EVERY):
        best = np.sort(vectors @ model.user_factors(np.array([u], np.int32))[0])[::-1][:K]
        mine = score[user == u]
        count += len(mine) != K or not np.allclose(mine, best, rtol=1e-5, atol=1e-6)
    return count


def main() -> None:
    """Measure, print JSON and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, what = make_data(folder)
        rows = make_fresh(Dataset.load(data), folder / "fresh.npz")
        command("train", "--preset", "best", "--data", str(data), "--out", str(folder / "run"))
        model, out, found = load(folder / "run" / "model.npz"), folder / "lists.parquet", {}
        for option in ("--new-item", "--fresh"):
            line = [
                "--model",
                str(folder / "run"),
                "--users",
                "all",
                option,
                str(folder / "fresh.npz"),
                "--out",
                str(out),
            ]
            took = [cpu_seconds("recommend", *line) for _ in range(given.rounds + 1)][1:]
            bad = wrong(model, rows, out, option == "--fresh")
            found[option] = {
                "cpu_s": median(took),
                "all": took,
                "rows": parquet.read_metadata(out).num_rows,
                "wrong": bad,
            }
    text = json.dumps({"machine": harness.machine(), "data": what, "new items": FRESH, "k": K, **found}, indent=1)
    print(text)
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
