"""A small data set with original ids and a run trained on it, for the commands that use a trained model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from milk_np.cli import train
from milk_np.data import Dataset, make_synthetic


@dataclass(frozen=True)
class Trained:
    """Paths of a data set and of a run, and the data themselves."""

    data: str
    run: str
    ds: Dataset


def make_trained(folder: Path) -> Trained:
    """Users u0, u1, ... and items i0, i1, ...; a model of two epochs under FTMT."""
    ds = make_synthetic(90, 120, 1500, {"image": 6, "text": 5}, new_items=0.3, seed=2)
    users = np.array([f"u{n}" for n in range(ds.n_users)])
    ds = replace(ds, user_ids=users, item_ids=np.array([f"i{n}" for n in range(ds.n_items)]))
    data, run = str(folder / "data.npz"), str(folder / "run")
    ds.save(data)
    size = ["--epochs", "2", "--eval-every", "1", "--batch-size", "256", "--dim", "8"]
    code = train.main(["--data", data, "--out", run, "--protocol", "FTMT", *size, "--topk", "5,10", "--quiet"])
    if code:
        raise RuntimeError(f"milk-train ended with {code}")
    return Trained(data, run, ds)
