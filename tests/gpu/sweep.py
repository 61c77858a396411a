"""Every kernel on small data, once: `python tests/gpu/sweep.py`, for a checker of memory and races to watch.

It trains a few steps in several settings, ranks, and streams features, on a synthetic set; it asserts no more than
that what comes out is finite. The tests compare results; this is short enough for a tool that slows a device down.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import milk_np

if not hasattr(milk_np, "kernels") and (Path(__file__).resolve().parents[2] / "kernels").is_dir():
    milk_np.__path__.append(str(Path(__file__).resolve().parents[2]))  # kernels/ stands at the top of a checkout

from milk_np.backends.select import get_backend
from milk_np.data import apply_protocol, make_synthetic
from milk_np.models.milk.model import Milk

CASES = (
    {},
    {"negative_pool": 50, "dim": 33},
    {"environments": "independent", "env_draws": 2, "preset": "reference"},
    {"without": ("cmam",), "reg_scope": "all", "reg": 1e-3},
    {"batch_size": 5000},
)


def main() -> None:
    """Go through all of it."""
    ds = apply_protocol(make_synthetic(n_users=120, n_items=150, n_pairs=1500, widths={"a": 40, "b": 17}), "MTMT")
    for case in CASES:
        model = Milk(**{"dim": 16, "batch_size": 256, **case}, device="gpu")
        trainer = model.trainer(ds)
        for step in range(3 * trainer.steps):
            trainer.step(1 + step // trainer.steps, step % trainer.steps)
        trainer.flush()
        assert np.isfinite(model.item_factors()).all(), case
    searches()
    print("sweep: done", flush=True)


def searches() -> None:
    """The search for the best items, of narrow and wide vectors, few and many places, with exclusions."""
    rng, backend = np.random.default_rng(0), get_backend("gpu")
    sizes = (33, 500, 16, 5), (3, 3000, 64, 20), (140, 300, 130, 20), (70, 300, 300, 40), (2, 700, 8, 650)
    for Q, N, K, k in sizes:
        queries, items = (rng.standard_normal((n, K)).astype(np.float32) for n in (Q, N))
        own = np.sort(rng.choice(N, (Q, 7)), axis=1).astype(np.int32)
        index, score = backend.top_k(queries, items, k, np.arange(Q + 1, dtype=np.int64) * 7, own.ravel())
        assert np.isfinite(score[index >= 0]).all()


if __name__ == "__main__":
    main()
