"""How the user of a triplet t = (u, i, j) is represented, as far as the objective knows it, and free vectors.

The objective requests a batch's rows and the users' vectors q, and passes q's gradient back; it treats all kinds alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from milk_np.backends.base import Array, Backend, Scratch
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.extractors.parameters import Parameters


class Batch(NamedTuple):
    """The triplets of a step, grouped. `by_item.unique` (n) are all items to extract, those of no triplet last."""

    users: Array  # (B)
    by_user: Groups
    by_item: Groups
    lists: Any = None  # what else its users are made of


class Seen(NamedTuple):
    """Vectors of a batch's users: q_t is row `rows[t]` of `table`; `gradient` is for its rows `groups.unique`."""

    table: Array
    rows: Array  # (B)
    groups: Groups
    gradient: Array
    cache: Any = None  # what else their backward pass reads


class Covered(NamedTuple):
    """The users' vectors that the regulariser covers: rows `groups.unique` of `table`, and their gradient."""

    table: Array
    groups: Groups
    gradient: Array


class Users(ABC):
    """The users' part of the objective. Arrays that it returns are overwritten by its next call."""

    fixed: ClassVar[bool] = False
    """Whether every batch of one size launches the same kernels on arrays of the same sizes."""

    def __init__(self, backend: Backend, n_users: int, n_items: int) -> None:
        self._kernels: Any = backend.kernels
        self._backend, self._scratch = backend, Scratch(backend)
        self._user_places = backend.full(n_users, -1, np.int32)
        self._item_places = backend.full(n_items, -1, np.int32)

    def group(self, users: Array) -> Groups:
        """The distinct users of a batch and their positions; see `milk_np.kernels.reference.grouping`."""
        groups: Groups = self._kernels.group(users, self._user_places)
        return groups

    @abstractmethod
    def batch(self, users: Array, items: Array, by_user: Groups, by_item: Groups | None = None) -> Batch:
        """The triplets `users` (B), `items` (2B: positives, then negatives), and all that is extracted for them.

        `by_user` and `by_item` group the two; without `by_item` it is made here.
        """

    @abstractmethod
    def forward(self, params: Parameters, c: Array, batch: Batch) -> Seen:
        """The users' vectors, from the extracted rows `c` (M, n, K)."""

    def covered(self, params: Parameters, batch: Batch, seen: Seen) -> Covered:
        """What the regulariser covers, |q_t|^2 here; its gradient begins as that of q, which is in `seen` by now."""
        return Covered(seen.table, seen.groups, seen.gradient)

    @abstractmethod
    def backward(
        self, params: Parameters, batch: Batch, seen: Seen, covered: Covered, dc: Array, dscale: Any
    ) -> tuple[Array, Array]:
        """Users and gradient of their rows of P; adds to `dc` (M, n, K) and sets `dscale` (1), the gradient of g."""

    def _take(self, name: str, rows: int, like: Array) -> Array:
        """Room for `rows` rows as wide as those of `like`."""
        return self._scratch.take(name, (rows, like.shape[-1]), like.dtype)


class FreeUsers(Users):
    """q_t = p_u, a row of P. The regulariser covers |p_u|^2."""

    fixed: ClassVar[bool] = True

    def batch(self, users: Array, items: Array, by_user: Groups, by_item: Groups | None = None) -> Batch:
        """The triplets' items alone."""
        return Batch(users, by_user, by_item or self._kernels.group(items, self._item_places))

    def forward(self, params: Parameters, c: Array, batch: Batch) -> Seen:
        """P itself."""
        gradient = self._take("dP", len(batch.by_user.unique), c)
        return Seen(params.P, batch.users, batch.by_user, gradient)

    def backward(
        self, params: Parameters, batch: Batch, seen: Seen, covered: Covered, dc: Array, dscale: Any
    ) -> tuple[Array, Array]:
        """q's gradient is P's."""
        return covered.groups.unique, covered.gradient
