"""A small set and short options, for tests that train."""

from __future__ import annotations

from milk_np.data import apply_protocol, make_synthetic
from milk_np.models.milk.settings import MilkSettings
from milk_np.training.run_folder import RunFolder

OPTIONS = {"dim": 16, "epochs": 6, "eval_every": 2, "batch_size": 256, "lr": 0.01, "topk": (10,)}


def small_set():
    ds = make_synthetic(n_users=200, n_items=150, n_pairs=2400, widths={"image": 20, "text": 12}, seed=3)
    return apply_protocol(ds, "MTMT")


def new_run(folder, ds, **options):
    return RunFolder.create(folder, MilkSettings(**{**OPTIONS, **options}), data_hash=ds.content_hash)
