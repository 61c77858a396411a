"""Even exposure: items that lack modalities get about as many places as they are chosen.

Less content says less of an item, so that its scores are nearer to those of the mean item, and the top of the lists
goes to items of which more is known. With z' the mean of items' vectors, an item's vector becomes

z + strength * (sum over the modalities that it lacks of lift_m) * z'

and each user's score of it grows by that many of their mean scores: the order among items that lack the same stays. The
lifts are found on held-out training items, where items that lack modality m are to have the same share of the places of
all lists as of the pairs. The strength is given, or it is the largest of STRENGTHS at which these rank surely no worse:
where pairs are so few that a loss can't be told from chance, nothing is lifted. Being part of the items' vectors, none
of it has to be known where lists are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.by_ranking import surely_no_less
from milk_np.models.kernel_profile.held_out import ndcg_of_folds
from milk_np.models.kernel_profile.ranked import Ranked
from milk_np.models.kernel_profile.spans import row_slices

Owned = NDArray[np.bool_]

BLOCK_USERS = 256
PLACES = 20
"""Length of the lists."""
STRENGTHS = (0.25, 0.5)
"""Those that are tried where none is given, beside 0: all the way costs more on new items than on held-out ones."""
LOOKS = 10
"""Times that the lists are looked at, at most."""
CLOSE = 0.01
"""Logarithm of (share of pairs / share of places) that is near enough to 0."""
START_SLOPE = 0.5
"""Of that logarithm against a lift, where nothing is known of it yet."""
MOST_STEP = 1.0
MOST_LIFT = 4.0
LEAST_PAIRS = 50
"""Pairs with items that lack a modality below which its lift stays 0: their places are chance."""


class Fold:
    """Scores of some users for held-out items, and their mean scores."""

    def __init__(self, ranked: Ranked) -> None:
        self.ranked = ranked
        self.means = ranked.scores.mean(axis=1, keepdims=True)

    def lifted(self, lifts: Floats) -> Vectors:
        """The scores (U, N) under `lifts` (M,)."""
        out: Vectors = self.ranked.scores + self.means * (self.ranked.lacks @ lifts).astype(np.float32)
        return out

    def pairs(self) -> Floats:
        """Pairs with items that lack each modality, and all: (M + 1,)."""
        return _counts(self.ranked.lacks[self.ranked.item])

    def places(self, lifts: Floats) -> Floats:
        """The same of the places of the users' lists."""
        total, lift = np.zeros(len(lifts) + 1), (self.ranked.lacks @ lifts).astype(np.float32)
        for users in row_slices(len(self.means), BLOCK_USERS):
            scores = self.ranked.scores[users] + self.means[users] * lift
            listed = np.argpartition(-scores, PLACES, axis=1)[:, :PLACES]
            total += _counts(self.ranked.lacks[listed.ravel()])
        return total


def _counts(lacks: Owned) -> Floats:
    return np.append(lacks.sum(axis=0), len(lacks)).astype(np.float64)


def folds_of(ranked: Iterable[Ranked]) -> list[Fold]:
    """Those that have pairs and more items than a list."""
    return [Fold(each) for each in ranked if each.scores.shape[1] > PLACES and len(each.user)]


def even_lifts(folds: Sequence[Fold], M: int) -> Floats:
    """The lift (M,) of items that lack each of `M` modalities, at strength 1.

    A secant's step for each modality at a time, as if the places of items that lack one knew nothing of the others'.
    """
    lifts = np.zeros(M)
    if not folds:
        return lifts
    pairs = np.sum([fold.pairs() for fold in folds], axis=0)
    free = pairs[:M] >= LEAST_PAIRS

    def missing(lifts: Floats) -> Floats:
        places = np.sum([fold.places(lifts) for fold in folds], axis=0)
        ratio = pairs[:M] / pairs[M] * places[M] / np.maximum(places[:M], 1)
        out: Floats = np.log(ratio, out=np.zeros(M), where=free)
        return out

    left, slope = missing(lifts), np.full(M, START_SLOPE)
    for _ in range(LOOKS):
        if np.abs(left).max(initial=0) < CLOSE:
            break
        after = np.clip(lifts + np.clip(left / slope, -MOST_STEP, MOST_STEP), -MOST_LIFT, MOST_LIFT)
        still = missing(after)
        slope = _slope(slope, after - lifts, left - still)
        lifts, left = after, still
    return lifts


def _slope(slope: Floats, step: Floats, gained: Floats) -> Floats:
    """What the last step says of the `slope`, at most 4 times more or less than before; the same where it was short."""
    far = np.abs(step) > CLOSE
    seen = np.divide(gained, step, out=slope.copy(), where=far)
    return np.clip(seen, slope / 4, slope * 4)


def safe_strength(folds: Sequence[Fold], lifts: Floats) -> float:
    """The largest of STRENGTHS that surely costs next to nothing of NDCG; 0 if there is none."""
    if not lifts.any():
        return 0.0
    before = _ndcg(folds, 0 * lifts)
    fine = [strength for strength in STRENGTHS if surely_no_less(_ndcg(folds, strength * lifts), before)]
    return max(fine, default=0.0)


def _ndcg(folds: Sequence[Fold], lifts: Floats) -> Floats:
    return ndcg_of_folds((fold.lifted(lifts) for fold in folds), (fold.ranked for fold in folds))
