"""Scores of users for held-out items, and what is known of both."""

from __future__ import annotations

from dataclasses import dataclass

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

    def of_first(self, users: int) -> Ranked:
        """The same of the first `users` users."""
        some = self.user < users
        return Ranked(self.scores[:users], self.lacks, self.user[some], self.item[some])
