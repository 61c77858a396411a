"""Synthetic data with a planted truth: users have a taste in what items are about, and modalities show it blurred.

Each item has a latent content z (L). A modality shows some of the L directions, beside private directions of larger
variance that no user cares for, an offset, noise, and a length of its own. A profile of raw features is misled by the
private directions; a trained extractor learns to leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.split import split_new_items
from milk_np.errors import SettingsError
from milk_np.rng import generator

BUILT_IN_WIDTHS = {"image": 128, "text": 96, "audio": 64}
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What is planted: strengths are in units of the standard deviation of one latent direction."""

    content: int = 8
    shown: int = 6
    private: int = 8
    private_strength: float = 2.0
    noise: float = 0.4
    offset: float = 1.0
    taste: float = 2.2
    popularity: float = 0.7


def make_synthetic(
    n_users: int = 1500,
    n_items: int = 1200,
    n_pairs: int = 28_000,
    widths: Mapping[str, int] | None = None,
    *,
    new_items: float = 0.2,
    seed: int = 0,
    truth: Truth | None = None,
) -> Dataset:
    """The built-in data set, or one of another size, with all modalities present.

    Parameters
    ----------
    n_users, n_items, n_pairs : int
        Users, items, and about how many pairs (each user has at least 2).
    widths : names and raw widths of the modalities, by default image 128, text 96, audio 64
    new_items : float
        Share of the items that are new, half valid, half test.
    seed : int
    truth : Truth, optional

    Raises
    ------
    SettingsError
        If a size isn't positive, or users would need more items than there are.
    """
    widths = BUILT_IN_WIDTHS if widths is None else dict(widths)
    truth = truth or Truth()
    check_sizes(n_users, n_items, n_pairs, widths)
    z = item_content(n_items, truth, seed)
    user, item = _pairs(n_users, n_pairs, z, truth, seed)
    item_split, split = split_new_items(user, item, n_items, fraction=new_items, seed=seed)
    features = {
        name: modality_rows(z, np.arange(n_items), m, width, truth, seed)
        for m, (name, width) in enumerate(widths.items())
    }
    meta = {"name": "synthetic", "made": "synthetic", "seed": seed, "new_items": new_items, "n_users": n_users}
    everything = np.ones((n_items, len(widths)), dtype=np.bool_)
    return Dataset(user, item, split, item_split, tuple(widths), features, everything, meta=meta)  # type: ignore[arg-type]


def check_sizes(n_users: int, n_items: int, n_pairs: int, widths: Mapping[str, int]) -> None:
    """Sizes are positive and leave users room to choose."""
    for name, size in (("users", n_users), ("items", n_items), *widths.items()):
        if size < 1:
            raise SettingsError(f"{name}: expected a positive number, got {size}")
    if not widths:
        raise SettingsError("widths: expected at least one modality, got none")
    if not 2 * n_users <= n_pairs <= n_users * n_items // 4:
        raise SettingsError(
            f"pairs: expected from {2 * n_users} (2 per user) to {n_users * n_items // 4} (a quarter of all), "
            f"got {n_pairs}"
        )


def item_content(n_items: int, truth: Truth, seed: int) -> Float32:
    """Latent content z of the items, (I, L)."""
    return generator(seed, "synthetic-content").standard_normal((n_items, truth.content), dtype=np.float32)


def _pairs(
    n_users: int, n_pairs: int, z: Float32, truth: Truth, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each user takes the items of largest taste + popularity + Gumbel noise, sorted by user, then item."""
    rng = generator(seed, "synthetic-pairs")
    taste = rng.standard_normal((n_users, truth.content), dtype=np.float32) / np.float32(np.sqrt(truth.content))
    score = np.float32(truth.taste) * (taste @ z.T)
    score += np.float32(truth.popularity) * rng.gumbel(size=len(z)).astype(np.float32)
    score -= np.log(np.maximum(rng.standard_exponential(score.shape, dtype=np.float32), np.float32(1e-30)))
    degree = degrees(rng, n_users, n_pairs / n_users, len(z) // 2)
    best = np.argsort(-score, axis=1)
    taken = np.arange(len(z)) < degree[:, None]
    key = np.sort((np.arange(n_users)[:, None] * len(z) + best)[taken])
    return (key // len(z)).astype(np.int32), (key % len(z)).astype(np.int32)


def degrees(rng: np.random.Generator, n_users: int, mean: float, most: int) -> NDArray[np.int64]:
    """Pairs per user: 2 plus a log-normal of the mean that is left, at most `most`."""
    spread = 0.7
    extra = (mean - 2) * np.exp(spread * rng.standard_normal(n_users) - spread**2 / 2)
    return np.minimum(2 + np.floor(extra + rng.random(n_users)), max(2, most)).astype(np.int64)


def modality_rows(
    z: Float32, items: NDArray[np.integer], modality: int, width: int, truth: Truth, seed: int  # type: ignore[type-arg]
) -> Float32:
    """Raw feature rows (n, width) of one modality for items whose content is z (n, L)."""
    plan = generator(seed, "synthetic-modality", modality)
    shown = (np.arange(truth.shown) + 3 * modality) % truth.content
    directions = plan.standard_normal((truth.shown + truth.private + 1, width), dtype=np.float32)
    rng = generator(seed, "synthetic-rows", modality, int(items[0]))
    private = np.float32(truth.private_strength) * rng.standard_normal((len(z), truth.private), dtype=np.float32)
    rows = z[:, shown] @ directions[: truth.shown] + private @ directions[truth.shown : -1]
    rows += np.float32(truth.offset) * directions[-1]
    rows += np.float32(truth.noise) * rng.standard_normal(rows.shape, dtype=np.float32)
    rows *= np.exp(0.3 * rng.standard_normal((len(z), 1), dtype=np.float32))
    return rows
