"""Batches of triplets: each depends on the seed, the epoch and its number alone, however many are drawn at once."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.backends.numba import NumpyBackend
from milk_np.data import make_synthetic
from milk_np.training import sampler
from milk_np.training.sampler import TripletSampler

DS = make_synthetic(60, 50, 700, {"image": 4}, seed=1)
ORDER = [(1, 0), (1, 1), (1, 9), (2, 3), (1, 3), (3, 0), (1, 2)]


def batches(monkeypatch: pytest.MonkeyPatch, at_once: int, pool: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    monkeypatch.setattr(sampler, "BATCHES_AT_ONCE", at_once)
    drawn = TripletSampler(NumpyBackend(), DS, negatives="train", batch_size=50, seed=3, pool=pool)
    order = [(epoch, min(step, drawn.steps - 1)) for epoch, step in ORDER]
    return [drawn.batch(epoch, step) for epoch, step in order]


@pytest.mark.parametrize("pool", [0, 12])
@pytest.mark.parametrize("at_once", [2, 3, 16])
def test_many_at_once_are_the_same(monkeypatch: pytest.MonkeyPatch, at_once: int, pool: int) -> None:
    for one, many in zip(batches(monkeypatch, 1, pool), batches(monkeypatch, at_once, pool), strict=True):
        np.testing.assert_array_equal(one[0], many[0])
        np.testing.assert_array_equal(one[1], many[1])
        assert len(many[1]) == 2 * len(many[0])


def test_an_epoch_is_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = TripletSampler(NumpyBackend(), DS, negatives="train", batch_size=64, seed=3)
    parts = [drawn.batch(1, step) for step in range(drawn.steps)]
    pairs = np.concatenate([np.stack([users, items[: len(users)]]) for users, items in parts], axis=1)
    train = DS.split == 0
    expected = np.stack([DS.user[train], DS.item[train]])
    np.testing.assert_array_equal(pairs[:, np.lexsort(pairs)], expected[:, np.lexsort(expected)])
