"""Odd data: the kernel profile never ranks new items worse than the best model without training, but by chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.data.arrays import Split
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.registry import make_model, make_settings

FLOORS = ("random", "profile", "similar")
DRAWS = 5
SURE = 2.0
"""Standard errors that a model may be below the best of the floors. Users of a draw share its items and its model, so
that the true error is larger."""


def plain(seed: int, M: int = 3, n_items: int = 300) -> Dataset:
    """300 users with 10 pairs each."""
    widths = {f"m{m}": 12 - m for m in range(M)}
    return make_synthetic(300, n_items, 3000, widths, new_items=0.3, seed=seed)


def with_noise(ds: Dataset, names: tuple[str, ...], seed: int) -> Dataset:
    """`ds` with features of these modalities that say nothing."""
    rng = np.random.default_rng(seed)
    junk = {name: rng.standard_normal(ds.features[name].shape).astype(np.float32) for name in names}
    return replace(ds, features={**ds.features, **junk}, meta={"n_users": ds.n_users}, check_features=False)


def random_features(seed: int) -> Dataset:
    """No modality says anything."""
    ds = plain(seed)
    return apply_protocol(with_noise(ds, ds.modalities, seed), "FTMT", seed=seed)


def one_junk_modality(seed: int) -> Dataset:
    """One of three modalities says nothing."""
    return apply_protocol(with_noise(plain(seed), ("m1",), seed), "FTMT", seed=seed)


def mostly_missing(seed: int) -> Dataset:
    """A modality of an item is there with a probability of 0.1; one of each is."""
    ds, rng = plain(seed), np.random.default_rng(seed)
    available = rng.random(ds.available.shape) < 0.1
    available[np.arange(ds.n_items), rng.integers(0, 3, ds.n_items)] = True
    return ds.with_available(available, {"n_users": ds.n_users})


def one_of_three(seed: int) -> Dataset:
    """Every item has one modality."""
    ds, rng = plain(seed), np.random.default_rng(seed)
    available = np.eye(3, dtype=np.bool_)[rng.integers(0, 3, ds.n_items)]
    return ds.with_available(available, {"n_users": ds.n_users})


def users_of_one_pair(seed: int) -> Dataset:
    """Of each user the first training pair alone is known."""
    ds = apply_protocol(plain(seed), "FTMT", seed=seed)
    kept = ds.split != Split.TRAIN
    train = np.flatnonzero(~kept)
    kept[train[np.unique(ds.user[train], return_index=True)[1]]] = True
    meta = {"n_users": ds.n_users}
    return replace(ds, user=ds.user[kept], item=ds.item[kept], split=ds.split[kept], meta=meta, check_features=False)


def few_items(seed: int) -> Dataset:
    """200 items."""
    return apply_protocol(plain(seed, n_items=200), "MTMT", seed=seed)


def eight_modalities(seed: int) -> Dataset:
    """Every item has each of eight modalities with a probability of a half."""
    ds, rng = plain(seed, M=8), np.random.default_rng(seed)
    available = rng.random(ds.available.shape) < 0.5
    available[~available.any(axis=1), 0] = True
    return ds.with_available(available, {"n_users": ds.n_users})


CASES = (
    random_features, one_junk_modality, mostly_missing, one_of_three, users_of_one_pair, few_items, eight_modalities,
)  # fmt: skip


def ndcg(model: object, ds: Dataset) -> np.ndarray:
    """Of every user with a new item, validation items first."""
    found = [evaluate(model, ds, split, topk=(20,)).per_user["ndcg@20"] for split in (Split.VALIDATION, Split.TEST)]
    return np.concatenate(found)


def compared(case: Callable[[int], Dataset]) -> dict[str, np.ndarray]:
    """By model, the values of all users and draws."""
    values: dict[str, list[np.ndarray]] = {}
    for draw in range(DRAWS):
        ds = case(draw)
        floors = {name: make_model(make_settings({"model": name, "seed": draw})).fit(ds) for name in FLOORS}
        for name, model in {**floors, "kernel-profile": KernelProfile(seed=draw).fit(ds)}.items():
            values.setdefault(name, []).append(ndcg(model, ds))
    return {name: np.concatenate(parts) for name, parts in values.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_never_below_the_best_without_training(case: Callable[[int], Dataset]) -> None:
    values = compared(case)
    best = max(FLOORS, key=lambda name: values[name].mean())
    lost = values[best] - values["kernel-profile"]
    assert lost.mean() < SURE * lost.std() / np.sqrt(len(lost)), (best, values[best].mean(), lost.mean())
