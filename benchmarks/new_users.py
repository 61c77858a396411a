"""Users who were never in training, described by a few items that they chose, beside the users of the training.

    python benchmarks/new_users.py --data lfm2k.npz --data tiktok.npz

A fifth of the users is taken out of the training. Each of them then comes with `--history` of their training items,
drawn at random (or all of them), and gets a list of the new items; those who have fewer are left out. Beside them:
the same users, had they been in training with all their items, and all users of the training. NDCG@20 on the test
items, FTMT, mean and sample deviation over draws of new items, mask and users.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.experiments.runs import Run, masked
from milk_np.models.registry import make_model, make_settings
from milk_np.rng import generator
from milk_np.serving.ranking import Factors

METRIC = "ndcg@20"
SHARE = 0.2
NEW_ITEMS = 0.2


def without(ds: Dataset, left_out: np.ndarray) -> Dataset:
    """The data set without any training pair of the users `left_out` (U,) bool."""
    keep = ~(left_out[ds.user] & (ds.split == Split.TRAIN))
    return replace(ds, user=ds.user[keep], item=ds.item[keep], split=ds.split[keep], check_features=False)


def measure(path: Path, model: str, seed: int, history: int) -> dict[str, float]:
    """NDCG@20 of each group of users, for one draw."""
    settings = make_settings({"model": model, "protocol": "FTMT", "seed": seed, "missing_seed": seed})
    ds, rng = masked(Run(path, "", NEW_ITEMS, seed, settings)), generator(seed, "new-users")
    indptr, items = ds.csr(Split.TRAIN)
    out = rng.random(ds.n_users) < SHARE
    fitted = make_model(settings).fit(without(ds, out))
    users = fitted.user_factors().copy()
    chosen = np.flatnonzero(out & (np.diff(indptr) >= history))
    own = [items[indptr[u] : indptr[u + 1]] for u in chosen]
    short = [np.sort(rng.permutation(each)[:history]) for each in own]
    whole = evaluate(make_model(settings).fit(ds), ds, 2, topk=(20,))

    def score(histories: list[np.ndarray]) -> float:
        users[chosen] = fitted.encode_users(histories)
        return mean(evaluate(Factors(users, fitted.item_factors()), ds, 2, topk=(20,)), chosen)

    return {
        f"new users, {history} items": score(short),
        "new users, all their items": score(own),
        "the same, in training": mean(whole, chosen),
        "all users, in training": float(whole.metrics[METRIC]),
    }


def mean(evaluation, users: np.ndarray) -> float:  # type: ignore[no-untyped-def]
    """Mean of the metric over those of `users` who have test items."""
    return float(evaluation.per_user[METRIC][np.isin(evaluation.users, users)].mean())


def main() -> None:
    """Print a table for every data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--model", default="kernel-profile")
    parser.add_argument("--history", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    for path in given.data:
        found = [measure(path, given.model, seed, given.history) for seed in range(given.draws)]
        print(f"{Dataset.load(path).name}, {given.model}, {METRIC}")
        reference = np.mean([each["all users, in training"] for each in found])
        for name in found[0]:
            values = np.array([each[name] for each in found])
            share = f"{values.mean() / reference:.0%} of all users'"
            print(f"  {name:28} {values.mean():.4f} ± {values.std(ddof=1):.4f}  {share}", flush=True)


if __name__ == "__main__":
    main()
