"""GPU memory of training, against the sizes of the arrays that training allocates."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, make_synthetic
from milk_np.models.extractors.memory_gpu import device_bytes, training_bytes
from milk_np.models.extractors.optimiser import LazyAdam
from milk_np.models.extractors.parameters import initial_parameters
from milk_np.settings.triplets import TripletSettings

U, ITEMS, PAIRS, WIDTHS, K = 500, 300, 9000, [40, 24], 16


def need(**changes: object) -> dict[str, int]:
    """The need at these sizes with some of them, or of the settings, changed."""
    sizes = {"n_users": U, "n_items": ITEMS, "n_train_pairs": PAIRS, "widths": WIDTHS, "E": 3}
    settings = {"model": "", "dim": K, "batch_size": 256} | {k: v for k, v in changes.items() if k not in sizes}
    given = sizes | {k: v for k, v in changes.items() if k in sizes}
    return training_bytes(TripletSettings(**settings), **given)  # type: ignore[arg-type]


def test_parameters_and_moments_are_those_of_the_optimiser() -> None:
    """The vector of W and b rounds each part up; its gradient comes on top, and rows of P have theirs in the batch."""
    backend = NumpyBackend("reference")
    params = initial_parameters(backend, U, WIDTHS, K, seed=0)
    moments = [
        array for name, array in LazyAdam(backend, params, 1e-3).state().items() if "P" in name or "weights" in name
    ]
    held = sum(array.nbytes for array in (params.P, params.weights, *moments, params.weights))
    counted = need()["parameters and optimiser"]
    assert counted <= held < 1.02 * counted


def test_sizes_come_from_the_data_set() -> None:
    ds: Dataset = make_synthetic(60, 50, 500, {"image": 7, "text": 4}, seed=0)
    settings = TripletSettings(model="", dim=8, batch_size=64)
    pairs = int((ds.split == 0).sum())
    told = training_bytes(settings, n_users=60, n_items=50, n_train_pairs=pairs, widths=[7, 4], E=5)
    assert device_bytes(settings, ds, 5) == told


@pytest.mark.parametrize(
    ("change", "purpose", "more"),
    [
        ({"n_users": U + 1}, "parameters and optimiser", 3 * 4 * K),
        ({"n_users": U + 1}, "training pairs", 8),
        ({"n_train_pairs": PAIRS + 1}, "training pairs", 12),
        ({"n_items": ITEMS + 1}, "ranking and libraries", 4 * K),
        ({"E": 4}, "a batch", 4 * 256),
        ({"reg_scope": "all"}, "parameters and optimiser", 2 * 4 * U * K),
    ],
)
def test_what_one_more_costs(change: dict[str, object], purpose: str, more: int) -> None:
    assert need(**change)[purpose] - need()[purpose] == more


def test_a_batch_is_no_larger_than_the_data() -> None:
    assert need(batch_size=PAIRS)["a batch"] == need(batch_size=10 * PAIRS)["a batch"]
    assert need(n_train_pairs=0)["a batch"] > 0
    rows = np.float32().itemsize * (sum(WIDTHS) + 2 * len(WIDTHS) * K)
    more = need(n_items=600)["a batch"] - need(n_items=512)["a batch"]  # 256 triplets touch 512 items at most
    assert more == 0
    assert need(n_items=512)["a batch"] - need(n_items=511)["a batch"] == rows
