"""Even exposure: items that lack modalities get about as many places as they are chosen.

Less content says less of an item, so that its scores are nearer to those of the mean item, and the top of the lists
goes to items of which more is known. With z' the mean vector of items that own a set of modalities, their vectors
become

z' + gain (z - z'),  gain = product over the modalities that the set lacks of gain_m^strength

The gains are found on held-out training items: gain_m grows for as long as items that lack modality m have a smaller
share of the places of all lists than of the pairs. Being part of the items' vectors, they need nothing where lists are
made. Scores that rank best are shrunk by right, so that evening costs accuracy where all regressions are good ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.limits import EVEN_USERS

Owned = NDArray[np.bool_]
Numbers = NDArray[np.intp]

PLACES = 20
"""Length of the lists."""
LOOKS = 10
"""Times that the lists are looked at."""
PACE = 0.5
"""A gain is multiplied by (share of pairs / share of places)^PACE after each look."""
MOST_GAIN = 4.0
LEAST_PAIRS = 50
"""Pairs with items that lack a modality below which its gain stays 1: their places are chance."""


class Held(Protocol):
    """What of `milk_np.models.kernel_profile.held_out.HeldOut` is used here."""

    sets: Owned
    which: Numbers
    folds: Sequence[Any]

    def scores(self, kernel: ContentKernel) -> list[Vectors]:
        """Of each fold's users for its items."""


def modality_gains(held_out: Held, kernel: ContentKernel) -> Floats:
    """For each modality the gain (M,) of items that lack it, at strength 1."""
    M = held_out.sets.shape[1]
    lists = [
        _Lists.of(scores, ~held_out.sets[held_out.which[fold.inside]])
        for scores, fold in zip(held_out.scores(kernel), held_out.folds, strict=True)
        if scores.shape[1] > PLACES
    ]
    pairs = sum((_lacking(held_out, fold) for fold in held_out.folds), np.zeros(M + 1))
    free = (pairs[:M] >= LEAST_PAIRS) & bool(lists)
    log = np.zeros(M)
    for _ in range(LOOKS if free.any() else 0):
        places = sum((each.places(log) for each in lists), np.zeros(M + 1))
        ratio = pairs[:M] / pairs[M] * places[M] / np.maximum(places[:M], 1)
        log[free] += PACE * np.log(ratio[free])
        log = np.clip(log, -np.log(MOST_GAIN), np.log(MOST_GAIN))
    gains: Floats = np.exp(log)
    return gains


def _lacking(held_out: Held, fold: Any) -> Floats:
    """Pairs of the users of a fold that are looked at with items that lack each modality, and with all: (M + 1,)."""
    items = np.flatnonzero(fold.inside)[fold.item[fold.user < EVEN_USERS]]
    return _counts(~held_out.sets[held_out.which[items]])


def _counts(lacks: Owned) -> Floats:
    return np.append(lacks.sum(axis=0), len(lacks)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Lists:
    """Scores of users for held-out items, as they are spread around their means over items that lack the same."""

    lacks: Owned
    """(N, M)."""
    means: Vectors
    """(U, N)."""
    spread: Vectors
    """(U, N)."""

    @classmethod
    def of(cls, scores: Vectors, lacks: Owned) -> Self:
        """For `scores` (U, N)."""
        scores, means = scores[:EVEN_USERS], np.empty_like(scores[:EVEN_USERS])
        for alike in np.unique(lacks, axis=0):
            mine = (lacks == alike).all(axis=1)
            means[:, mine] = scores[:, mine].mean(axis=1, keepdims=True)
        return cls(lacks, means, scores - means)

    def places(self, log: Floats) -> Floats:
        """Places of items that lack each modality, and all places: (M + 1,), under the logarithms of gains (M,)."""
        scores = self.means + self.spread * np.exp(self.lacks @ log).astype(np.float32)
        listed = np.argpartition(-scores, PLACES, axis=1)[:, :PLACES]
        return _counts(self.lacks[listed.ravel()])


def set_gains(gains: Floats, sets: Owned, strength: float) -> Floats:
    """The gain (S,) of each of `sets` (S, M), from those of the modalities that it lacks."""
    out: Floats = np.exp(strength * (~sets @ np.log(gains)))
    return out


def evened(coefficients: Vectors, means: Floats, gains: Floats) -> tuple[Vectors, Vectors]:
    """Coefficients (S, L, K) times `gains` (S,), and what is added to each set's vectors (S, K).

    `means` (S, L) are the mean similarities of items to the landmarks, of which the mean vectors are made.
    """
    centres = np.einsum("sl,slk->sk", means, coefficients.astype(np.float64))
    offset = (1 - gains)[:, None] * centres
    return (coefficients * gains[:, None, None].astype(np.float32)), offset.astype(np.float32)
