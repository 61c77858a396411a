"""Balanced axes for a fitted kernel profile, and the least width that ranks held-out items about as well.

For `width` auto the model is fitted again, kernel given, without a fold of training items, which are then ranked as if
they were new. Nothing is known of valid and test items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.backends.select import get_backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.data.rows import row_blocks
from milk_np.files import Arrays
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.adjusting import Adjusted, unadjusted
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.fit import table_of_zeros
from milk_np.models.kernel_profile.folds import without_one
from milk_np.models.kernel_profile.held_out import ndcg
from milk_np.models.kernel_profile.on_device import turned_on
from milk_np.rng import generator
from milk_np.serving.axes import BalancedAxes, turned

WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
"""Those that `auto` chooses from, beside all."""
LOSS = 0.01
"""Share of NDCG that `auto` may lose."""
MOST_USERS, MOST_ITEMS = 1 << 14, 1 << 14
"""Users and items whose vectors decide the axes."""
MEAN_ITEMS = 2048
"""Items whose mean vector is the unit of lifts."""
HELD_SHARE, MOST_HELD, MOST_RANKING = 0.2, 4096, 8192
"""Training items that are held out for `auto`: a share, and at most so many; users who rank them."""

Numbers = NDArray[np.int32]


class Model(Protocol):
    """What of a kernel profile is used here."""

    settings: Any

    @property
    def kernel(self) -> ContentKernel:
        """Scale, noise, weights and whitening."""

    def fit(self, ds: Dataset) -> Self:
        """Fit anew."""

    def arrays(self) -> Arrays:
        """The parameters."""

    def user_factors(self, users: Numbers | None = None) -> Vectors:
        """Vectors of users."""

    def item_factors(self, items: Numbers | None = None) -> Vectors:
        """Vectors of items."""

    def encode_items(self, features: Any, available: NDArray[np.bool_] | None = None) -> Vectors:
        """Vectors of items by their features."""


def balanced(model: Model, ds: Dataset, chosen: Adjusted, in_memory: int | None = None) -> Arrays:
    """The arrays of a `model` just fitted to `ds` on balanced axes, cut to the width that its settings say.

    Among them are those by which items' vectors are adjusted as was `chosen`.

    Histories of more numbers than `in_memory` go to disk.
    """
    settings, whole = model.settings, model.arrays()
    width = _least_width(model, ds, chosen.power) if settings.width == "auto" else settings.most_numbers
    axes = BalancedAxes.of(_some_users(model, ds), _some_items(model, ds, MOST_ITEMS, "items of axes")).cut(width)
    shape = whole["history"].shape[0], axes.users.shape[1]
    history = whole["history"] if shape == whole["history"].shape else table_of_zeros(shape, in_memory)
    arrays = turned_arrays(whole, axes, history, get_backend(settings.device, settings.threads))
    if not chosen.power and not chosen.lifts.any():
        return arrays | unadjusted(len(chosen.lifts), (axes.items.shape[1],))
    items = np.concatenate(list(_some_items(model, ds, MEAN_ITEMS, "mean item")))
    return arrays | chosen.arrays(turned(items, axes.items), axes.strength.astype(np.float32))


def _least_width(model: Model, ds: Dataset, power: float) -> int:
    """The least width that ranks held-out training items about as well as the whole one, with lengths under `power`."""
    kernel, seed = model.kernel, model.settings.seed
    known = with_held_out(ds, seed)
    settings = model.settings.replace(
        width="full", kernel_noise=kernel.noise, modality_weights=kernel.weights, whitening=kernel.whitening,
        length_power=str(power), even_exposure="0",
    )  # fmt: skip
    trial = type(model)(settings).fit(known)  # type: ignore[call-arg]
    users, items, user, item = ranking_pairs(known, seed)
    return least_width(trial.user_factors(users), trial.item_factors(items), user, item)


def _some_users(model: Model, ds: Dataset) -> Iterator[Vectors]:
    """Vectors of users with training pairs, at most MOST_USERS drawn by the seed, in blocks."""
    known = np.unique(ds.interactions(Split.TRAIN)[0])
    for ids in _drawn(known, MOST_USERS, model.settings.seed, "users of axes"):
        yield model.user_factors(ids)


def _some_items(model: Model, ds: Dataset, most: int, stream: str) -> Iterator[Vectors]:
    """Vectors of training items, at most `most` drawn by the seed and the name `stream`, in blocks.

    Half of them lack one of the modalities that they own, as new items may.
    """
    rng = generator(model.settings.seed, "modalities of axes")
    for ids in _drawn(ds.train_items, most, model.settings.seed, stream):
        features = {name: ds.features[name][ids] for name in ds.modalities}
        yield model.encode_items(features, without_one(ds.available[ids], rng))


def _drawn(ids: Numbers, most: int, seed: int, stream: str) -> Iterator[Numbers]:
    chosen = np.sort(generator(seed, stream).permutation(len(ids))[:most])
    for block in row_blocks(len(chosen), 1):
        yield ids[chosen[block]]


def turned_arrays(arrays: Arrays, axes: BalancedAxes, history: Vectors, backend: Backend) -> Arrays:
    """The arrays of a model on `axes`; its histories are written to `history` (I, r), which may be the old ones."""
    S, L, K = arrays["coefficients"].shape
    coefficients = turned_on(backend, arrays["coefficients"].reshape(S * L, K), axes.items)
    return {
        **arrays,
        "history": turned_on(backend, arrays["history"], axes.users, history),
        "mean_item": turned(arrays["mean_item"][None], axes.users)[0],
        "coefficients": coefficients.reshape(S, L, -1),
    }


def with_held_out(ds: Dataset, seed: int) -> Dataset:
    """`ds` with some of its training items as validation items, half of them without a modality; others aren't known.

    No other item keeps its pairs unless it is for training.
    """
    rng, items = generator(seed, "held out for the width"), ds.train_items
    held = items[rng.permutation(len(items))[: min(MOST_HELD, int(HELD_SHARE * len(items)))]]
    item_split = np.where(ds.item_split == Split.TRAIN, np.uint8(Split.TRAIN), np.uint8(Split.UNSEEN))
    item_split[held] = Split.VALIDATION
    kept = ds.split == Split.TRAIN
    available = ds.available.copy()
    available[held] = without_one(available[held], rng)
    meta = {k: v for k, v in ds.meta.items() if k != "content_hash"} | {"n_users": ds.n_users}
    user, item = ds.user[kept], ds.item[kept]
    return replace(
        ds, user=user, item=item, split=item_split[item], item_split=item_split, available=available, meta=meta,
        check_features=False,
    )  # fmt: skip


def ranking_pairs(ds: Dataset, seed: int) -> tuple[Numbers, Numbers, NDArray[np.intp], NDArray[np.intp]]:
    """Users (n,) who rank the held-out items (N,) of `ds`, and their pairs by place among both."""
    user, item = ds.interactions(Split.VALIDATION)
    users, items = np.unique(user), ds.new_items(Split.VALIDATION)
    users = np.sort(generator(seed, "users of the width").permutation(users)[:MOST_RANKING])
    known = np.isin(user, users)
    return users, items, np.searchsorted(users, user[known]), np.searchsorted(items, item[known])


def least_width(P: Vectors, Z: Vectors, user: NDArray[np.intp], item: NDArray[np.intp]) -> int:
    """The least of WIDTHS from which on no NDCG of users P (n, K) on items Z (N, K) is surely enough; K if none is.

    `user` and `item` (m,) are the pairs. A width is enough if the loss and its standard error are at most LOSS.
    """
    K = int(P.shape[1])
    widths = [width for width in WIDTHS if width < K]
    found, scores = [], np.zeros((len(P), len(Z)), np.float32)
    for start, stop in zip([0, *widths], [*widths, K], strict=True):
        scores += P[:, start:stop] @ Z[:, start:stop].T
        found.append(ndcg(scores, user, item))
    enough = K
    for width, each in zip(reversed(widths), reversed(found[:-1]), strict=True):
        if not _about_as_good(each, found[-1]):
            break
        enough = width
    return enough


def _about_as_good(values: Floats, whole: Floats) -> bool:
    lost = whole - values
    error = lost.std() / np.sqrt(max(len(lost), 1))
    return bool(len(lost) and lost.mean() + error <= LOSS * whole.mean())
