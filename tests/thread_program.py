"""Prints a hash of everything that could depend on the number of threads, for 1, 2 and 4: a line a result.

Run it with NUMBA_NUM_THREADS and OPENBLAS_NUM_THREADS of 4, so that there are four threads on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from milk_np.machine import threads

threads.prepare()

import numba  # noqa: E402

from milk_np.backends.numba import NumpyBackend  # noqa: E402
from milk_np.data import Dataset, apply_protocol, make_synthetic  # noqa: E402
from milk_np.evaluation.evaluate import evaluate  # noqa: E402
from milk_np.kernels.blas import openblas_pools  # noqa: E402
from milk_np.kernels.cpu import set_threads  # noqa: E402
from milk_np.models.registry import make_model, make_settings  # noqa: E402
from milk_np.serving.recommend import recommend  # noqa: E402
from milk_np.training.sampler import TripletSampler  # noqa: E402

COUNTS = (1, 2, 4)
SHORT = {"dim": 24, "epochs": 2, "eval_every": 1, "batch_size": 1024, "topk": (10,), "lr": 0.01}
MODELS = {
    "milk": SHORT | {"users": "both"},  # the model and row-lazy Adam
    "micro": SHORT,  # graphs of items and of users, so sparse products
    "dropoutnet": SHORT,  # pretrained tables and towers
}


def results(ds: Dataset) -> Iterator[tuple[str, bytes]]:
    """All that was found with the threads that are set, by name."""
    for pool in (0, 64):
        drawn = TripletSampler(NumpyBackend(), ds, negatives="train", batch_size=1024, seed=3, pool=pool)
        yield f"triplets, pool of {pool}", b"".join(x.tobytes() for s in range(drawn.steps) for x in drawn.batch(1, s))
    for name, options in MODELS.items():
        model = make_model(make_settings(options | {"model": name})).fit(ds)
        lists, found = recommend(model, ds, k=10), evaluate(model, ds, topk=(10,))
        yield f"{name}: parameters", b"".join(array.tobytes() for array in model.arrays().values())
        yield f"{name}: vectors", model.user_factors().tobytes() + model.item_factors().tobytes()
        yield f"{name}: lists", lists.found.tobytes() + lists.score.tobytes()
        yield f"{name}: metrics", np.array(list(found.metrics.values())).tobytes()


def main() -> None:
    """A line for every result and number of threads: the number, a hash, the result's name."""
    for count in COUNTS:
        set_threads(count)
        for _, limit in openblas_pools():
            limit(count)
        made = make_synthetic(700, 900, 12_000, {"image": 200, "text": 64}, new_items=0.3, seed=3)
        for name, content in results(apply_protocol(made, "MTMT", seed=1)):
            print(numba.get_num_threads(), hashlib.sha256(content).hexdigest(), name)


if __name__ == "__main__":
    main()
