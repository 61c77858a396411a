"""Scores of users for held-out items, and what is known of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Vectors

Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Ranked:
    """One fold of `milk_np.models.kernel_profile.held_out`."""

    scores: Vectors
    """(U, N)."""
    lacks: NDArray[np.bool_]
    """(N, M) modalities that the items are held out without."""
    user: Numbers
    """(P,) and `item` (P,): the pairs."""
    item: Numbers

    @classmethod
    def of_some(cls, users: Numbers, scores: Vectors, lacks: NDArray[np.bool_], user: Numbers, item: Numbers) -> Self:
        """That of some `users` (n,), in order, whose `scores` (n, N) are given, from the pairs of all."""
        some = np.isin(user, users)
        return cls(scores, lacks, np.searchsorted(users, user[some]), item[some])
