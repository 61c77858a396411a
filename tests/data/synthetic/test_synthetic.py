"""The built-in set, and large sets written by blocks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.data import Dataset, feature_tables, make_imputer, make_synthetic, write_synthetic
from milk_np.data.missing import Mask, apply_protocol
from milk_np.data.synthetic import planted as synthetic_module
from milk_np.data.synthetic.large import NpyWriter
from milk_np.data.synthetic.planted import Plan
from milk_np.errors import DataError, SettingsError


def test_the_built_in_set() -> None:
    ds = make_synthetic()
    assert (ds.n_users, ds.n_items, ds.modalities) == (1500, 1200, ("image", "text", "audio"))
    assert 25_000 <= len(ds.user) <= 30_000
    assert abs(len(ds.evaluated_items) - 240) <= 2
    assert ds.available.all()
    assert make_synthetic().content_hash == ds.content_hash
    assert make_synthetic(seed=1).content_hash != ds.content_hash


def test_popularity_is_skewed_and_users_differ() -> None:
    ds = make_synthetic()
    popular = np.sort(np.bincount(ds.item, minlength=ds.n_items))[::-1]
    assert popular[:120].sum() > 0.25 * len(ds.item)
    active = np.bincount(ds.user)
    assert active.min() >= 2
    assert active.max() > 3 * np.median(active)


def test_features_tell_what_users_like() -> None:
    """Items that a user likes share content: their features lie closer together than those of any items."""
    ds = make_synthetic()
    indptr, items = ds.csr(0)
    rows = np.hstack([t.rows() for t in feature_tables(ds, make_imputer("mean").fit(ds))])
    rows -= rows[ds.train_items].mean(axis=0)
    own = [np.linalg.norm(rows[items[indptr[u] : indptr[u + 1]]].mean(axis=0)) for u in range(200)]
    rng = np.random.default_rng(0)
    other = [
        np.linalg.norm(rows[rng.choice(ds.train_items, indptr[u + 1] - indptr[u])].mean(axis=0)) for u in range(200)
    ]
    assert np.mean(own) > 1.2 * np.mean(other)


@pytest.mark.parametrize("n_items", [90, 700])
def test_a_folder_written_by_blocks_equals_the_set_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_items: int
) -> None:
    monkeypatch.setattr(synthetic_module, "BLOCK_SCORES", 5000)
    monkeypatch.setattr(synthetic_module, "BLOCK_ITEMS", 64)
    monkeypatch.setattr(synthetic_module, "SCORE_ALL", 100)
    plan = Plan(150, n_items, 1500, {"a": 5, "b": 3}, seed=4, half=True)
    assert len(list(plan.user_blocks())) > 1
    assert len(list(plan.item_blocks())) > 1
    ds = Dataset.load(write_synthetic(tmp_path / "set", plan))
    expected = make_synthetic(150, n_items, 1500, {"a": 5, "b": 3}, seed=4, half=True)
    assert ds.content_hash == expected.content_hash
    assert ds.meta == expected.meta
    assert ds.features["a"].dtype == np.float16


def test_a_mask_is_written_too(tmp_path: Path) -> None:
    plan, mask = Plan(60, 50, 400), Mask("MTMT", seed=2)
    ds = Dataset.load(write_synthetic(tmp_path / "set", plan, mask))
    expected = apply_protocol(make_synthetic(60, 50, 400), "MTMT", seed=2)
    assert ds.content_hash == expected.content_hash
    assert ds.meta == expected.meta


def test_memory_does_not_grow_with_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_module, "BLOCK_SCORES", 1 << 18)
    monkeypatch.setattr("milk_np.data.synthetic.large._PAIRS_READ", 1 << 14)
    peaks = []
    for n_users in (20_000, 100_000):
        tracemalloc.start()
        write_synthetic(tmp_path / "set", Plan(n_users, 5000, 4 * n_users, {"a": 4}))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_users": 0}, "users: expected a positive number, got 0"),
        ({"n_items": -1}, "items: expected a positive number, got -1"),
        ({"widths": {}}, "widths: expected at least one modality"),
        ({"widths": {"a": 0}}, "a: expected a positive number, got 0"),
        ({"n_pairs": 2999}, r"pairs: expected from 3000 \(2 per user\) to 450000 .* got 2999"),
        ({"n_pairs": 450_001}, "got 450001"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_synthetic(**options)


def test_a_folder_of_other_things_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="isn't a data set"):
        write_synthetic(tmp_path, Plan())


def test_a_growing_file_is_a_plain_array(tmp_path: Path) -> None:
    parts = [np.arange(6.0).reshape(2, 3), np.empty((0, 3)), np.full((500, 3), 7.0)]
    with NpyWriter(tmp_path / "grown.npy") as writer:
        for part in parts:
            writer.append(part)
    assert np.array_equal(np.load(tmp_path / "grown.npy"), np.concatenate(parts))
