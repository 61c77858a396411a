"""Fitting a kernel profile: the steps of the closed form, from a data set to the arrays of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.select import get_backend
from milk_np.data import Dataset
from milk_np.files import Arrays
from milk_np.models.base import Vectors
from milk_np.models.kernel_profile.adjusting import Adjusted, adjustment
from milk_np.models.kernel_profile.blocks import Items
from milk_np.models.kernel_profile.by_blocks import collect, fit_by_blocks
from milk_np.models.kernel_profile.by_ranking import choose_by_ranking
from milk_np.models.kernel_profile.choice import START_NOISE, ContentKernel, choose, normalised
from milk_np.models.kernel_profile.content import content_of
from milk_np.models.kernel_profile.held_out import HeldOut
from milk_np.models.kernel_profile.held_out_on_device import DeviceHeldOut
from milk_np.models.kernel_profile.limits import CHOICE_ITEMS, HELD_ITEMS
from milk_np.models.kernel_profile.need import MOST_IN_MEMORY, PRECISE_ITEMS, Plan
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import owned_sets
from milk_np.models.kernel_profile.samples import pairs_with, smoothed_gram, users_of
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.smoothing import DENSE, Smoothing
from milk_np.models.kernel_profile.whitening import candidate_axes, whitened
from milk_np.rng import generator

Tell = Callable[[str, float], None]
"""What hears that a phase begins, and which share of the work is done."""

PARAMETERS = ("history", "mean_item", "sets", "coefficients", "kernel", "error")
"""Arrays of a model, beside those named by `.adjusting.ADJUSTING` and those of each modality: `axes0`, ... (D_m, r) of
its whitening, r = 0 where it has none, and `landmark0`, ... (L, r or D_m), the landmarks' content under it.

history (I, K), h times popularity^-rarity, zero for new items; mean_item (K,), its mean over all training pairs; sets
(S, M) of modalities; coefficients (S, L, K); kernel (2 + 2 M,): scale, noise, weights, exponents of the whitening;
error: leave-one-out, as a share.
"""
TOLERANCES = {True: 1e-6, False: 1e-3}
"""Residuals of its directions, as shares of the largest eigenvalue."""


SHARES = (0.1, 0.15, 0.75, 0.93)
"""What of the work is done when a phase begins, the first apart; about, as measured on three data sets."""
BALANCING = 0.95
"""The same of the phase after those of this module."""


def _silent(phase: str, share: float) -> None:
    """Nobody listens."""


def fit_profile(
    ds: Dataset,
    centres: Mapping[str, Vectors],
    settings: KernelProfileSettings,
    tell: Tell = _silent,
    plan: Plan | None = None,
    pairs: Pairs | None = None,
) -> tuple[Arrays, Adjusted]:
    """The arrays named by PARAMETERS, the landmarks' content, and how items' vectors are to be adjusted.

    `tell` hears of the phases.

    On the host, `plan` says how much is worked on at once. `pairs` are those of `ds` where they lie elsewhere than in
    this process; their engine makes the sums over items too.
    """
    tell("smoothing histories", 0.0)
    backend, items = get_backend(settings.device, settings.threads), ds.train_items
    pairs = pairs or Pairs.of(ds, backend)
    smoother = fit_smoother(pairs, settings)
    tell("content of the items", SHARES[0])
    order = generator(settings.seed, "landmarks").permutation(len(items))
    some, chosen = order[:HELD_ITEMS], np.sort(order[: settings.landmarks])
    landmarks = content_of(centres, ds, items[chosen])
    candidates = candidate_axes(landmarks, settings.whitening)
    content, owned = content_of(centres, ds, items[some]), ds.available[items[some]]
    tell("choosing the kernel", SHARES[1])
    kernel, error, adjusted = choose_kernel(pairs, smoother, content, candidates, owned, some, settings)
    axes = [each[exponent] for each, exponent in zip(candidates, kernel.whitening, strict=True)]
    landmarks = [whitened(x, each) for x, each in zip(landmarks, axes, strict=True)]
    sets = owned_sets(ds.available)[: 1 if settings.owned_sets == "whole" else None]
    tell("regressions by owned modalities", SHARES[2])
    rows, column_bytes = (plan.rows, plan.column_bytes) if plan and backend.name == "cpu" else (0, None)
    blocks = Items.of(ds, backend, centres, axes, landmarks, kernel, block_rows=rows)
    width, engine = settings.profile_width, pairs.engine
    fitted = fit_by_blocks(blocks, pairs, smoother, sets, landmarks, width, column_bytes=column_bytes, engine=engine)
    tell("vectors of items", SHARES[3])
    popularity = pairs.popularity()
    history = table_of_zeros((ds.n_items, fitted.coefficients.shape[2]), plan.in_memory if plan else None)
    factor = np.maximum(popularity, 1) ** -settings.rarity
    mean_item = collect(fitted, backend, factor, popularity, items, history)
    arrays = {
        "history": history,
        "mean_item": mean_item,
        "sets": sets,
        "coefficients": fitted.coefficients,
        "kernel": np.array([kernel.scale, kernel.noise, *kernel.weights, *kernel.whitening]),
        "error": np.array(error),
        **{f"landmark{m}": x for m, x in enumerate(landmarks)},
        **{f"axes{m}": x for m, x in enumerate(axes)},
    }
    return arrays, adjusted


def fit_smoother(pairs: Pairs, settings: KernelProfileSettings) -> Smoother:
    """The smoothing that the settings ask for: exact for few users or items, precise where that is cheap."""
    options: dict[str, Any] = {
        "rank": settings.smoothing_rank,
        "ridge": settings.smoothing,
        "power": settings.smoothing_power,
    }
    if min(pairs.shape) <= DENSE:
        R = users_of(pairs, np.arange(pairs.shape[1]))
        return Smoother.of(pairs.backend, Smoothing.fit(R, **options), np.float32)
    precise = pairs.shape[1] <= PRECISE_ITEMS
    dtype = np.float64 if precise else np.float32
    return Smoother.fit(pairs, **options, tolerance=TOLERANCES[precise], dtype=dtype).astype(np.float32)


def table_of_zeros(shape: tuple[int, int], most: int | None = None) -> Vectors:
    """Zeros (n, K): in memory, or if there are more than `most` on disk, in a file without a name that goes with
    them."""
    if shape[0] * shape[1] <= (MOST_IN_MEMORY if most is None else most):
        return np.zeros(shape, np.float32)
    with TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


def choose_kernel(
    pairs: Pairs,
    smoother: Smoother,
    content: Sequence[Vectors],
    axes: Sequence[Mapping[float, Vectors]],
    owned: NDArray[np.bool_],
    some: NDArray[np.intp],
    settings: KernelProfileSettings,
) -> tuple[ContentKernel, float, Adjusted]:
    """The kernel that the settings leave open, its leave-one-out error, and how items' vectors are adjusted.

    `content` of each modality, not whitened, and `owned` (n, M) are those of `some` (n,) training items in a random
    order; `axes` are those of each modality's whitening by exponent, which come from all landmarks: they know nothing
    of what users chose, and are not fitted anew without some items.
    """
    given = {"noise": settings.kernel_noise, "weights": settings.modality_weights}
    free = frozenset(name for name, value in given.items() if not value)
    few = slice(0, CHOICE_ITEMS)
    gram = smoothed_gram(pairs, smoother, some[few])

    def least_error(start: ContentKernel, free: frozenset[str]) -> tuple[ContentKernel, float]:
        rows = [whitened(x[few], each[e]) for x, each, e in zip(content, axes, start.whitening, strict=True)]
        return choose([(x @ x.T).astype(np.float64) for x in rows], gram, start, free)

    start = ContentKernel(
        settings.kernel_scale,
        settings.kernel_noise or START_NOISE,
        normalised(settings.modality_weights or (1.0,) * len(content)),
        tuple(next(iter(each)) for each in axes),
    )
    kernel, error = least_error(start, free)
    chosen = "noise" in free or any(len(each) > 1 for each in axes)
    if not chosen and not settings.adjusts:
        return kernel, error, Adjusted(settings.score_power or 0.0, np.zeros(len(content)))
    R, rng = pairs_with(pairs, some), generator(settings.seed, "held out")
    backend, parts = pairs.backend, (R, smoother.on_host(), some, content, axes, owned, settings.landmarks, rng)
    held_out = HeldOut(*parts) if backend.name == "cpu" else DeviceHeldOut(backend, *parts)
    if chosen:
        ranked = choose_by_ranking(held_out, kernel, [sorted(each) for each in axes], noise="noise" in free)
        kernel, error = least_error(ranked, frozenset())
    return kernel, error, adjustment(held_out, kernel, settings)
