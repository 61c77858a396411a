"""How much of the kernel profile's accuracy its first numbers have, and what a search for its vectors takes.

    python benchmarks/widths.py --data lfm2k.npz --data tiktok.npz --draws 31 32 33 34 35

For every draw of new items, missing modalities and training: NDCG@20, mean of validation and test items, of the vectors
cut to each width and to the one that `--width auto` chooses; and CPU seconds on one thread of searches for 20 new items
for users and 20 users for new items, by all scores and as the engine does it, in turn, the lists compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numba
import numpy as np

from milk_np.data import Dataset
from milk_np.evaluation.evaluate import evaluate
from milk_np.experiments.runs import Run, masked
from milk_np.kernels.cpu import topk
from milk_np.kernels.cpu.inputs import exclusions, fixed
from milk_np.models.registry import make_model, make_settings
from milk_np.serving.ranking import Factors

WIDTHS = (32, 64, 128, 256, 512, 768)
NEW_ITEMS, K, ROUNDS, MOST = 0.2, 20, 5, 3000


def accuracy(ds: Dataset, users: np.ndarray, items: np.ndarray, width: int) -> float:
    """NDCG@20 of vectors cut to `width`."""
    cut = Factors(*(np.ascontiguousarray(x[:, :width]) for x in (users, items)))
    return statistics.fmean(evaluate(cut, ds, split, topk=(K,)).metrics[f"ndcg@{K}"] for split in (1, 2))


def ratio(queries: np.ndarray, items: np.ndarray) -> float:
    """CPU time of all scores over that of the engine."""
    queries, items = fixed(queries[:: -(-len(queries) // MOST)], np.float32), fixed(items, np.float32)
    rows = exclusions(len(queries), None, None)
    ways = (lambda: topk._searched(queries, items, K, rows), lambda: topk.top_k(queries, items, K))
    expected, found = (way() for way in ways)
    for x, y in zip(expected, found, strict=True):
        np.testing.assert_array_equal(x.view(np.int32), y.view(np.int32))
    taken = []
    for _ in range(ROUNDS):
        for way in ways:
            start = time.process_time()
            way()
            taken.append(time.process_time() - start)
    return statistics.median(a / b for a, b in zip(taken[::2], taken[1::2], strict=True))


def measure(path: Path, seed: int) -> dict[str, float]:
    """All figures of one draw."""
    options = {"model": "kernel-profile", "protocol": "FTMT", "seed": seed, "missing_seed": seed}
    settings = make_settings(options)
    ds = masked(Run(path, "", NEW_ITEMS, seed, settings))
    model = make_model(settings).fit(ds)
    auto = make_model(settings.replace(width="auto")).fit(ds).width
    users, items = model.user_factors(), model.item_factors()
    found = {str(width): accuracy(ds, users, items, width) for width in (users.shape[1], *WIDTHS)}
    found = {"full": found.pop(str(users.shape[1])), **found, "auto": accuracy(ds, users, items, auto)}
    new = items[ds.evaluated_items]
    times = {"items for users, times as fast": ratio(users, new), "users for items, times as fast": ratio(new, users)}
    return found | {"auto chose": auto} | times


def main() -> None:
    """Print a table for every data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, type=Path)
    parser.add_argument("--draws", nargs="+", type=int, default=[31, 32, 33, 34, 35])
    chosen = parser.parse_args()
    numba.set_num_threads(1)
    for path in chosen.data:
        draws = [measure(path, seed) for seed in chosen.draws]
        print(f"\n{path.stem}, {len(draws)} draws\n")
        for name in draws[0]:
            print(f"{name:<32}" + "".join(f"{each[name]:>10.4f}" for each in draws))


if __name__ == "__main__":
    main()
