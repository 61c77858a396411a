"""Adjusting items' vectors by what held-out items say of lists: their lengths, then what lifts incomplete ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milk_np.files import Arrays
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.exposure import even_lifts, folds_of, safe_strength
from milk_np.models.kernel_profile.held_out import HeldOut
from milk_np.models.kernel_profile.lengths import choose_power, scaled, scaled_scores
from milk_np.models.kernel_profile.limits import EVEN_USERS
from milk_np.models.kernel_profile.settings import KernelProfileSettings


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What is chosen."""

    power: float
    """Of `.lengths`."""
    lifts: Floats
    """(M,), those of `.exposure`."""


def adjustment(held_out: HeldOut, kernel: ContentKernel, settings: KernelProfileSettings) -> Adjusted:
    """What the settings leave open, by ranking held-out items under the chosen kernel."""
    M, power = len(kernel.weights), settings.score_power
    if not settings.adjusts:
        return Adjusted(power or 0.0, np.zeros(M))
    ranked = held_out.ranked(kernel, EVEN_USERS)
    power = choose_power(ranked) if power is None else power
    if not settings.evens_exposure:
        return Adjusted(power, np.zeros(M))
    for fold in ranked:
        fold.scores[...] = scaled_scores(fold.scores, power)
    folds = folds_of(ranked)
    lifts, strength = even_lifts(folds, M), settings.exposure_strength
    return Adjusted(power, lifts * (safe_strength(folds, lifts) if strength is None else strength))


def unadjusted(M: int, shape: tuple[int, ...]) -> Arrays:
    """The arrays of a model of `M` modalities and vectors of that `shape`, (K,), whose items stay as they are."""
    zeros = np.zeros(shape, np.float32)
    return {"centre": zeros, "metric": zeros, "length_power": np.zeros(()), "lifts": np.zeros(M)}


def adjusted(vectors: Vectors, lacks: NDArray[np.bool_], arrays: Arrays) -> Vectors:
    """Items' `vectors` (n, K), which are theirs to overwrite; `lacks` (n, M) are the modalities they go without."""
    power, centre, lifts = float(arrays["length_power"]), arrays["centre"], arrays["lifts"]
    if power:
        vectors = scaled(vectors, arrays["metric"], centre, power)
    if lifts.any():
        vectors += (lacks @ lifts)[:, None].astype(np.float32) * centre
    return vectors
