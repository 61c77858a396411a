"""Fitting a kernel profile: the steps of the closed form, from a data set to the arrays of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile.by_ranking import choose_by_ranking
from milk_np.models.kernel_profile.choice import START_NOISE, Kernel, choose, normalised
from milk_np.models.kernel_profile.content import Vectors, content_of, similarities
from milk_np.models.kernel_profile.held_out import HeldOut
from milk_np.models.kernel_profile.limits import CHOICE_ITEMS, HELD_ITEMS
from milk_np.models.kernel_profile.ridge import Ridge, owned_sets, weighted
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.smoothing import Smoothing
from milk_np.models.kernel_profile.whitening import candidate_axes, whitened
from milk_np.rng import generator

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Tell = Callable[[str, float], None]
"""What hears that a phase begins, and which share of the work is done."""

PARAMETERS = ("history", "mean_item", "sets", "coefficients", "kernel", "error")
"""Arrays of a model, beside those of each modality: `axes0`, ... (D_m, r) of its whitening, r = 0 where it has none,
and `landmark0`, ... (L, r or D_m), the landmarks' content under it.

history (I, K), h times popularity^-rarity, zero for new items; mean_item (K,), its mean over all training pairs; sets
(S, M) of modalities; coefficients (S, L, K); kernel (2 + 2 M,): scale, noise, weights, exponents of the whitening;
error: leave-one-out, as a share.
"""
LEAST_AXIS = 1e-10
"""Axes of less than this share of the largest one's variance are rounding noise."""
_COLUMNS = 64
SHARES = (0.05, 0.15, 0.75, 0.8, 0.9)
"""What of the work is done when a phase begins, the first apart; about, as measured on three data sets."""


def _silent(phase: str, share: float) -> None:
    """Nobody listens."""


def fit_profile(
    ds: Dataset, centres: Mapping[str, Vectors], settings: KernelProfileSettings, tell: Tell = _silent
) -> Arrays:
    """The arrays named by PARAMETERS, and the landmarks' content; `tell` hears of the phases."""
    tell("smoothing histories", 0.0)
    items, R = ds.train_items, training_pairs(ds)
    smoothing = Smoothing.fit(R, rank=settings.smoothing_rank, ridge=settings.smoothing, power=settings.smoothing_power)
    tell("content of the items", SHARES[0])
    order = generator(settings.seed, "landmarks").permutation(len(items))
    content = content_of(centres, ds, items)
    chosen = np.sort(order[: settings.landmarks])
    candidates = candidate_axes([x[chosen] for x in content], settings.whitening)
    tell("choosing the kernel", SHARES[1])
    kernel, error = choose_kernel(R, smoothing, content, candidates, ds.available[items], order, settings)
    tell("similarities to landmarks", SHARES[2])
    axes = [each[exponent] for each, exponent in zip(candidates, kernel.whitening, strict=True)]
    content = [whitened(x, each) for x, each in zip(content, axes, strict=True)]
    landmarks = [x[chosen] for x in content]
    similar = similarities(content, landmarks, kernel.scale)
    sets = owned_sets(ds.available)[: 1 if settings.owned_sets == "whole" else None]

    def regression(owned: NDArray[np.bool_]) -> Ridge:
        k = weighted(similar, kernel.weights, owned)
        return Ridge.fit(k, k[chosen], kernel.noise)

    tell("vectors of users", SHARES[3])
    whole = regression(sets[0])
    h, variance = history_vectors(R, smoothing, whole, settings.profile_width)
    targets = smoothing.apply_transposed(R.T @ (R @ h)) / variance
    tell("regressions by owned modalities", SHARES[4])
    others = [regression(owned).coefficients(targets) for owned in sets[1:]]
    return {
        **counted_histories(R, h, items, ds.n_items, settings.rarity),
        "sets": sets,
        "coefficients": np.stack([whole.coefficients(targets), *others]).astype(np.float32),
        "kernel": np.array([kernel.scale, kernel.noise, *kernel.weights, *kernel.whitening]),
        "error": np.array(error),
        **{f"landmark{m}": x for m, x in enumerate(landmarks)},
        **{f"axes{m}": x for m, x in enumerate(axes)},
    }


def counted_histories(R: Any, h: Floats, items: NDArray[np.int32], n_items: int, rarity: float) -> Arrays:
    """h (n, K) times popularity^-rarity as rows of all items, and its mean over all training pairs."""
    popularity = np.asarray(R.sum(axis=0)).ravel()
    counted = h * np.maximum(popularity, 1)[:, None] ** -rarity
    history = np.zeros((n_items, h.shape[1]), np.float32)
    history[items] = counted
    mean_item = popularity @ counted / max(popularity.sum(), 1)
    return {"history": history, "mean_item": mean_item.astype(np.float32)}


def training_pairs(ds: Dataset) -> Any:
    """R (U, n): 1 where a user has a pair with a training item, sparse."""
    indptr, item = ds.csr(Split.TRAIN)
    column = np.searchsorted(ds.train_items, item)
    return sparse.csr_array((np.ones(len(item)), column, indptr), (ds.n_users, len(ds.train_items)))


def history_vectors(R: Any, smoothing: Smoothing, whole: Ridge, width: int) -> tuple[Floats, Floats]:
    """h (n, K) = B F (F^T F + noise I)^-1 W, and the squared lengths (K) of the columns of P = R h.

    W are the principal axes of the users' vectors in the space of the features, the `width` longest or all there are.
    """
    wide = whole.solve(smoothing.apply(whole.features).T).T
    gram = wide.T @ gram_times(R, wide)
    variance, axes = linalg.eigh(gram)
    first = max(0, len(variance) - width)
    keep = np.flatnonzero(variance > LEAST_AXIS * variance[-1])
    keep = keep[keep >= first][::-1]
    return wide @ axes[:, keep], variance[keep]


def choose_kernel(
    R: Any,
    smoothing: Smoothing,
    content: Sequence[Vectors],
    axes: Sequence[Mapping[float, Vectors]],
    owned: NDArray[np.bool_],
    order: NDArray[np.intp],
    settings: KernelProfileSettings,
) -> tuple[Kernel, float]:
    """The kernel that the settings leave open, and its leave-one-out error.

    `content` of each modality, not whitened, and `owned` (n, M) are those of the training items, the first of whose
    random `order` are looked at; `axes` are those of each modality's whitening by exponent, which come from all
    landmarks: they know nothing of what users chose, and are not fitted anew without some items.
    """
    given = {"noise": settings.kernel_noise, "weights": settings.modality_weights}
    free = frozenset(name for name, value in given.items() if not value)
    few, some = order[:CHOICE_ITEMS], order[:HELD_ITEMS]
    gram = smoothed_gram(R, smoothing, few)

    def least_error(start: Kernel, free: frozenset[str]) -> tuple[Kernel, float]:
        rows = [whitened(x[few], each[e]) for x, each, e in zip(content, axes, start.whitening, strict=True)]
        return choose([(x @ x.T).astype(np.float64) for x in rows], gram, start, free)

    start = Kernel(
        settings.kernel_scale,
        settings.kernel_noise or START_NOISE,
        normalised(settings.modality_weights or (1.0,) * len(content)),
        tuple(next(iter(each)) for each in axes),
    )
    kernel, error = least_error(start, free)
    if "noise" not in free and all(len(each) == 1 for each in axes):
        return kernel, error
    rows, rng = [x[some] for x in content], generator(settings.seed, "held out")
    held_out = HeldOut(R, smoothing, some, rows, axes, owned[some], settings.landmarks, rng)
    ranked = choose_by_ranking(held_out, kernel, [sorted(each) for each in axes], noise="noise" in free)
    return least_error(ranked, frozenset())


def smoothed_gram(R: Any, smoothing: Smoothing, few: NDArray[np.intp]) -> Floats:
    """Y^T Y of the columns Y of R B of the training items `few`."""
    columns = np.zeros((R.shape[1], len(few)))
    columns[few, np.arange(len(few))] = 1
    columns = smoothing.apply(columns)
    return columns.T @ gram_times(R, columns)


def gram_times(R: Any, x: Floats) -> Floats:
    """R^T R x, a few columns of x (n, k) at a time, so that no array of users by k is made."""
    return np.hstack([R.T @ (R @ x[:, i : i + _COLUMNS]) for i in range(0, x.shape[1], _COLUMNS)])
