"""Lengths of items' vectors: how far apart users score an item, by which it stands out or not.

With s_j the root mean square of the scores of item j over users of unit length, vectors become

z_j (s_j / s)^-power

where s is that of the mean vector of items. An item whose scores are spread widely is at the top of many lists, and at
the bottom of others. On some data lists are better where all items stand out more alike. The power is the last of
POWERS up to which each ranks held-out items clearly better than the one before, as whitening has to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from milk_np.data.rows import unit_rows
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.by_ranking import clearly_more
from milk_np.models.kernel_profile.held_out import ndcg_of_folds
from milk_np.models.kernel_profile.ranked import Ranked

POWERS = (0.0, 0.25, 0.5)
"""Those that may be chosen; none is the plainest."""


def choose_power(folds: Sequence[Ranked]) -> float:
    """The power of POWERS that ranks the held-out items of `folds` best, or one that is about as good and less."""
    best, values = POWERS[0], _ndcg(folds, POWERS[0])
    for power in POWERS[1:]:
        others = _ndcg(folds, power)
        if not clearly_more(others, values):
            break
        best, values = power, others
    return best


def _ndcg(folds: Sequence[Ranked], power: float) -> Floats:
    return ndcg_of_folds((scaled_scores(fold.scores, power) for fold in folds), folds)


def scaled_scores(scores: Vectors, power: float) -> Vectors:
    """`scores` (U, N) of held-out items under `power`."""
    if not power:
        return scores
    alike = unit_rows(scores)
    mean = np.einsum("un,un->n", alike, alike), float((alike.mean(axis=1) ** 2).sum())
    out: Vectors = scores * _factors(*mean, power)
    return out


def scaled(vectors: Vectors, metric: Vectors, mean_square: float, power: float) -> Vectors:
    """`vectors` (n, K) of items under `power`, for the users' mean squares along each axis (K,), `metric`, and the
    `mean_square` of their scores of the mean item, s^2."""
    if not power:
        return vectors
    out: Vectors = vectors * _factors(vectors**2 @ metric, mean_square, power)[:, None]
    return out


def _factors(squares: Vectors, whole: float, power: float) -> Vectors:
    """(squares / whole)^(-power / 2) (n,) in float32; 1 where an item, or the mean, has no length."""
    known = (squares > 0) & (whole > 0)
    ratio = np.divide(squares, whole, out=np.ones(len(squares)), where=known)
    out: Vectors = (ratio ** (-power / 2)).astype(np.float32)
    return out
