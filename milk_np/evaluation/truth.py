"""The pairs that lists are compared with, by user and by how many modalities their items miss."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.errors import DataError, DataWarning
from milk_np.evaluation.drawn import Drawn
from milk_np.evaluation.metrics import PerUser, hits, per_user

SPLITS: dict[int, str] = {Split.VALIDATION: "valid", Split.TEST: "test"}


@dataclass(frozen=True, eq=False)
class Truth:
    """Relevant pairs: `relevant` candidate positions by user; `n_missing`, missing modalities of each candidate.

    `drawn_from` is the number of users that these were drawn from; 0 if they are all.
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    relevant: NDArray[np.int32]
    n_missing: NDArray[np.int64]
    left_out: int
    drawn_from: int

    @classmethod
    def of(
        cls,
        ds: Dataset,
        split: int,
        ranked: NDArray[np.int32],
        chosen: NDArray[np.integer[Any]] | None,
        servable: NDArray[np.bool_] | None,
        drawn: Drawn,
    ) -> Truth:
        """Pairs of the split; of users in `chosen` and of those `servable` (U,) alone, if these are given; of these
        only users that are `drawn`."""
        user, item = ds.interactions(split)
        if chosen is not None:
            kept = np.isin(user, chosen)
            user, item = user[kept], item[kept]
        user, item, left_out = _served(user, item, servable)
        everybody = np.unique(user)
        kept = np.isin(user, drawn(everybody))
        users, counts = np.unique(user[kept], return_counts=True)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        missing = ds.n_modalities - ds.available[ranked].sum(axis=1)
        drawn_from = 0 if len(users) == len(everybody) else len(everybody)
        return cls(users, indptr, np.searchsorted(ranked, item[kept]).astype(np.int32), missing, left_out, drawn_from)

    @cached_property
    def groups(self) -> list[int]:
        """The numbers of missing modalities that occur among the relevant items, ascending."""
        return [int(group) for group in np.unique(self.n_missing[self.relevant])]

    def score(self, lists: NDArray[np.int32], rows: slice, lengths: tuple[int, ...]) -> list[PerUser]:
        """Values of the users `rows`: for all relevant items, then for each group with relevant items."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        relevant = self.relevant[indptr[0] : indptr[-1]]
        hit = hits(lists, indptr - indptr[0], relevant)
        user = np.repeat(np.arange(len(lists)), np.diff(indptr))
        out = [per_user(hit, np.diff(indptr), lengths)]
        for group in self.groups:
            count = np.bincount(user[self.n_missing[relevant] == group], minlength=len(lists))
            some = count > 0
            inside = hit & (self.n_missing[lists] == group)
            out.append(per_user(inside[some], count[some], lengths))
        return out


def _served(
    user: NDArray[np.int32], item: NDArray[np.int32], servable: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """The pairs of users whom the model can serve, and the number of other users."""
    if servable is None or servable[user].all():
        return user, item, 0
    kept = servable[user]
    if not kept.any():
        raise DataError(
            "users: the model knows none of the users to evaluate, nor their history; is it another data set's?"
        )
    lost = len(np.unique(user[~kept]))
    warnings.warn(f"{lost:,} users left out: the model doesn't know them, nor their history", DataWarning, stacklevel=5)
    return user[kept], item[kept], lost
