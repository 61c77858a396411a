"""Adjusting items' vectors by what held-out items say of lists: their lengths, then what lifts incomplete ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError
from milk_np.files import Arrays
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.exposure import MOST_LIFT, even_lifts, folds_of, safe_strength
from milk_np.models.kernel_profile.held_out import HeldOut
from milk_np.models.kernel_profile.lengths import choose_power, scaled, scaled_scores
from milk_np.models.kernel_profile.limits import EVEN_USERS, MOST_EVEN
from milk_np.models.kernel_profile.settings import KernelProfileSettings

ADJUSTING = ("centre", "metric", "mean_square", "length_power", "lifts")
"""Arrays of a model by which its items' vectors are adjusted, which files of earlier versions don't have.

metric (K,), mean squares of users' vectors of unit length along each axis; mean_square, of users' scores of the mean
item; length_power; centre (K,), the mean of items' vectors of those lengths; lifts (M,). Both means are over training
items, half of which lack one of the modalities that they own, as items are held out.
"""


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What is chosen."""

    power: float
    """Of `.lengths`."""
    lifts: Floats
    """(M,), those of `.exposure`."""

    def arrays(self, items: Vectors, metric: Vectors) -> Arrays:
        """Those named by ADJUSTING, from the vectors of some items (n, K) that aren't adjusted yet."""
        square = float(items.mean(axis=0) ** 2 @ metric)
        centre = scaled(items, metric, square, self.power).mean(axis=0)
        return {
            "centre": centre.astype(np.float32),
            "metric": metric.astype(np.float32),
            "mean_square": np.array(square),
            "length_power": np.array(self.power),
            "lifts": self.lifts,
        }


def adjustment(held_out: HeldOut, kernel: ContentKernel, settings: KernelProfileSettings) -> Adjusted:
    """What the settings leave open, by ranking held-out items under the chosen kernel."""
    M, power = len(kernel.weights), settings.score_power
    if not settings.adjusts:
        return Adjusted(power or 0.0, np.zeros(M))
    ranked = [fold for fold in held_out.ranked(kernel, EVEN_USERS) if len(fold.user)]
    power = choose_power(ranked) if power is None else power
    if not settings.evens_exposure or not known_by_held_out(M, settings):
        return Adjusted(power, np.zeros(M))
    for fold in ranked:
        fold.scores[...] = scaled_scores(fold.scores, power)
    folds = folds_of(ranked)
    lifts, strength = even_lifts(folds, M), settings.exposure_strength
    return Adjusted(power, lifts * (safe_strength(folds, lifts) if strength is None else strength))


def known_by_held_out(M: int, settings: KernelProfileSettings) -> bool:
    """Whether items are held out with the regressions that new ones get: not with one for all, nor with so many of `M`
    modalities that most combinations have none."""
    return settings.owned_sets != "whole" and M <= MOST_EVEN


def unadjusted(M: int, shape: tuple[int, ...]) -> Arrays:
    """The arrays of a model of `M` modalities and vectors of that `shape`, (K,), whose items stay as they are."""
    zeros = np.zeros(shape, np.float32)
    numbers = {"mean_square": np.zeros(()), "length_power": np.zeros(())}
    return {"centre": zeros, "metric": zeros, **numbers, "lifts": np.zeros(M)}


def adjusted(vectors: Vectors, lacks: NDArray[np.bool_], arrays: Arrays) -> Vectors:
    """Items' `vectors` (n, K), which are theirs to overwrite; `lacks` (n, M) are the modalities that their regressions
    go without."""
    power, lifts = float(arrays["length_power"]), arrays["lifts"]
    if power:
        vectors = scaled(vectors, arrays["metric"], float(arrays["mean_square"]), power)
    if lifts.any():
        vectors += (lacks @ lifts)[:, None].astype(np.float32) * arrays["centre"]
    return vectors


def check_adjusting(source: str | Path, arrays: Arrays) -> None:
    """Raises DataError for a power or lifts that no fit chooses."""
    if not 0 <= float(arrays["length_power"]) <= 1:
        raise DataError(f"{source}: entry 'length_power': expected 0 to 1, got {float(arrays['length_power']):g}")
    if np.abs(arrays["lifts"]).max(initial=0) > MOST_LIFT:
        raise DataError(f"{source}: entry 'lifts': expected {-MOST_LIFT:g} to {MOST_LIFT:g}, got {arrays['lifts']}")
