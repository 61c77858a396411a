"""Small models of all families, their lists and metrics, and whether BLAS's threads change a bit of them.

`python processor_program.py DATA OUT` trains on the data set DATA and writes an `.npz`: by model `found`, `score`,
`metrics`; `cores`, OpenBLAS's names of the processor; `wide`, whether the kernels are those for AVX-512.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.machine import threads

threads.prepare()

from milk_np.data import Dataset, make_synthetic  # noqa: E402
from milk_np.evaluation.evaluate import evaluate  # noqa: E402
from milk_np.kernels.blas import openblas_pools  # noqa: E402
from milk_np.kernels.cpu.vectors import WIDE  # noqa: E402
from milk_np.models.registry import make_model, make_settings  # noqa: E402
from milk_np.serving.recommend import recommend, score_items  # noqa: E402

SHORT = {"dim": 8, "epochs": 4, "eval_every": 2, "batch_size": 256, "topk": (10,), "lr": 0.01}
MODELS = {
    "milk": SHORT,
    "milk, users both": SHORT | {"model": "milk", "users": "both"},
    "duif": SHORT | {"model": "duif"},
    "kernel-profile": {"model": "kernel-profile", "topk": (10,)},
    "profile, map": {"model": "profile", "impute": "map"},
    "profile, nearest": {"model": "profile", "impute": "nearest"},
    "similar": {"model": "similar", "impute": "mean"},
}
PREFIXES, SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "_64", "")


def results(ds: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Lists, scores and metrics of every model, by name."""
    for name, options in MODELS.items():
        model = make_model(make_settings(options)).fit(ds)
        lists, found = recommend(model, ds, k=10), evaluate(model, ds, topk=(10,))
        yield f"{name}: found", lists.found
        yield f"{name}: score", lists.score
        yield f"{name}: metrics", np.array(list(found.metrics.values()))
        yield f"{name}: scores of all", score_items(model, ds, model.item_factors(), np.arange(ds.n_users))


def everything(ds: Dataset, blas_threads: int) -> dict[str, np.ndarray]:
    """All that a seed decides, with so many threads in BLAS."""
    pools = openblas_pools()
    before = [get() for get, _ in pools]
    for _, limit in pools:
        limit(blas_threads)
    made = make_synthetic(300, 500, 3000, {"image": 300, "text": 120}, seed=3)
    out = {f"synthetic: {name}": rows for name, rows in made.features.items()}
    out |= {"synthetic: user": made.user, "synthetic: item": made.item, **dict(results(ds))}
    for (_, limit), count in zip(pools, before, strict=True):
        limit(count)
    return out


def cores() -> list[str]:
    """The processors whose kernels the OpenBLAS of NumPy and of SciPy run."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}
    names = [f"{prefix}_get_corename{suffix}" for prefix in PREFIXES for suffix in SUFFIXES]
    return sorted(_core(ctypes.CDLL(path), names) for path in paths)


def _core(library: Any, names: list[str]) -> str:
    ask = next(getattr(library, name) for name in names if hasattr(library, name))
    ask.restype = ctypes.c_char_p
    return str(ask().decode())


def main(data: str, out: str) -> None:
    """Fails where one thread and two give other bits."""
    ds = Dataset.load(data)
    one, two = everything(ds, 1), everything(ds, 2)
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, err_msg=f"{name}: one and two threads of BLAS")
    kept = {name: array for name, array in one.items() if not name.startswith("synthetic")}
    np.savez(out, **kept, cores=np.array(cores()), wide=WIDE)


if __name__ == "__main__":
    main(*sys.argv[1:])
