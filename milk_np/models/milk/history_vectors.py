"""Profiles of users at inference: the sum of all their items' vectors, scaled to the learned length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.kernels.reference.histories import SMALL
from milk_np.models.base import Vectors
from milk_np.serving.histories import Ids, compressed
from milk_np.serving.ranking import Rows

ARRAYS = ("profiles", "own_means")
BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class HistoryVectors:
    """Profiles of the users of the data, and the item vectors that other users' profiles are made of.

    Attributes
    ----------
    means : (I, K) float32
        h, the mean of an item's extracted vectors over its available modalities.
    length : exp(g), which all profiles share
    users : (U, K) float32
        exp(g) v_u / |v_u| of every user of the data, v_u the sum of h over their training items; 0 if there are none.
    """

    backend: Backend = field(repr=False)
    means: Vectors
    length: float
    users: Vectors

    @classmethod
    def build(cls, backend: Backend, means: Vectors, scale: NDArray[Any], histories: Rows) -> Self:
        """Profiles from h, g (1) and the users' items."""
        length = float(np.exp(scale[0]))
        return cls(backend, means, length, history_vectors(backend, means, length, *histories))

    @classmethod
    def from_arrays(cls, backend: Backend, scale: NDArray[Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The profiles that `arrays` gave."""
        users, means = (arrays[name] for name in ARRAYS)
        return cls(backend, means, float(np.exp(scale[0])), users)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name, for saving."""
        return dict(zip(ARRAYS, (self.users, self.means), strict=True))

    def of(self, histories: Sequence[Ids]) -> Vectors:
        """Profiles (n, K) of users who have these items each."""
        return history_vectors(self.backend, self.means, self.length, *compressed(histories, len(self.means)))


def history_vectors(
    backend: Backend, means: Vectors, length: float, indptr: NDArray[np.int64], items: NDArray[np.int32]
) -> Vectors:
    """`length` v / |v| of every row (n, K), v the sum of `means` over the row's items; by blocks of rows."""
    out = np.empty((len(indptr) - 1, means.shape[1]), np.float32)
    place, table = backend.asarray, backend.asarray(means)
    for start in range(0, len(out), BLOCK):
        ends = indptr[start : start + BLOCK + 1]
        own, v = items[ends[0] : ends[-1]], out[start : start + BLOCK]
        sums = backend.empty(v.shape, v.dtype)
        backend.kernels.sum_rows(table, place(ends - ends[0], np.int32), place(own), sums)
        v[...] = backend.to_host(sums)
        v *= np.float32(length) / np.sqrt((v * v).sum(axis=1, keepdims=True) + np.float32(SMALL**2))
    return out
