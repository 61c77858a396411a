"""How the user of a triplet t = (u, i, j) is represented: free vector, profile of their own items, or the sum.

free      q_t = p_u
profile   q_t = exp(g) v_t / |v_t|, v_t the sum of their other items' vectors (kernels/reference/histories.py)
both      q_t = p_u + exp(g) v_t / |v_t|
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.extractors.parameters import Parameters
from milk_np.models.extractors.users import Batch, Covered, FreeUsers, Seen, Users

USERS = ("free", "profile", "both")


class Histories(NamedTuple):
    """Every user's training items, ascending, as compressed rows on the backend."""

    indptr: Array  # (U + 1)
    items: Array  # (n) int32


class Lengths(NamedTuple):
    """What the profiles' backward pass reads."""

    unit: Array  # (B, K)
    inverse: Array  # (B)


class HistoryUsers(Users):
    """q_t = exp(g) v_t / |v_t|: the user's other items, at a length that all users share. P has no rows.

    The regulariser covers |q_t|^2: otherwise g could grow while the items' vectors shrink, and their norms would cost
    nothing. An item's gradient has a part from every user of the batch who chose it.
    """

    fixed: ClassVar[bool] = True

    def __init__(self, backend: Backend, n_users: int, owned: Array, histories: Histories) -> None:
        """`owned` (I, M) says which modalities an item has; a triplet's positive is in its user's history."""
        super().__init__(backend, n_users, len(owned))
        self._owned, self._histories = owned, histories
        lengths = np.diff(backend.to_host(histories.indptr))
        self._longest = np.cumsum(np.sort(lengths)[::-1])
        self._count = backend.asarray(np.arange(0, dtype=np.int32))

    def batch(self, users: Array, items: Array, by_user: Groups, by_item: Groups | None = None) -> Batch:
        """The triplets' items, then those of their users' histories."""
        K, table = self._kernels, self._item_places
        by_item = by_item or K.group(items, table)
        by_item, lists = K.read_histories(
            *self._histories, by_user.unique, items, by_item, table, self._room(len(users))
        )
        return Batch(users, by_user, by_item, lists)

    def _room(self, B: int) -> int:
        """The most items that a batch of B triplets may extract."""
        most = min(B, len(self._longest))
        return int(min(len(self._owned), 2 * B + self._longest[most - 1]))

    def forward(self, params: Parameters, c: Array, batch: Batch) -> Seen:
        """Profiles, one row a triplet."""
        K, B, by_item, lists = self._kernels, len(batch.users), batch.by_item, batch.lists
        h, total = self._take("h", c.shape[1], c), self._take("total", len(batch.by_user.unique), c)
        unit, q, dq = (self._take(name, B, c) for name in ("unit", "q", "dq"))
        inverse = self._scratch.take("inverse", (B,), c.dtype)
        K.owned_mean(c, by_item.unique, self._owned, h)
        K.sum_histories(h, lists, total)
        whose = batch.by_user.slot, by_item.slot[:B], lists.lengths
        K.leave_one_out(total, h, *whose, params.scale, unit, inverse, q)
        return Seen(q, self._counted(B), self._each_alone(B), dq, Lengths(unit, inverse))

    def backward(
        self, params: Parameters, batch: Batch, seen: Seen, covered: Covered, dc: Array, dscale: Any
    ) -> tuple[Array, Array]:
        """Through v to the vectors of the users' items, by the transposed lists, and to g; P has no gradient."""
        K, by_user, B = self._kernels, batch.by_user, len(batch.users)
        by_origin, dh = self._take("by origin", B + len(by_user.unique), dc), self._take("dh", dc.shape[1], dc)
        K.leave_one_out_backward(seen.gradient, *seen.cache, params.scale, by_origin[:B], dscale)
        K.histories_backward(by_origin, by_user, batch.lists, dh)
        K.owned_mean_backward(dh, batch.by_item.unique, self._owned, dc)
        return self._counted(0), self._take("dP", 0, dc)

    def _counted(self, count: int) -> Array:
        """0 ... count - 1."""
        if len(self._count) < count:
            self._count = self._backend.asarray(np.arange(count, dtype=np.int32))
        return self._count[:count]

    def _each_alone(self, B: int) -> Groups:
        """B rows, each in a separate group."""
        ends = self._counted(B + 1)
        return Groups(ends[:B], ends[:B], ends, ends[:B])


class BothUsers(HistoryUsers):
    """q_t = p_u + exp(g) v_t / |v_t|. The regulariser covers |p_u|^2, as it does for free users."""

    def forward(self, params: Parameters, c: Array, batch: Batch) -> Seen:
        """Profiles, plus the user's free vector."""
        seen = super().forward(params, c, batch)
        seen.table[...] += params.P[batch.users]
        return seen

    def covered(self, params: Parameters, batch: Batch, seen: Seen) -> Covered:
        """|p_u|^2; p_u's gradient is the sum of q's over the user's triplets."""
        by_user = batch.by_user
        dP = self._take("dP", len(by_user.unique), seen.gradient)
        self._kernels.sum_rows(seen.gradient, by_user.start, by_user.order, dP)
        return Covered(params.P, by_user, dP)

    def backward(
        self, params: Parameters, batch: Batch, seen: Seen, covered: Covered, dc: Array, dscale: Any
    ) -> tuple[Array, Array]:
        """As a profile's; P's is complete."""
        super().backward(params, batch, seen, covered, dc, dscale)
        return covered.groups.unique, covered.gradient


def make_users(kind: str, backend: Backend, n_users: int, owned: Array, histories: Histories | None = None) -> Users:
    """The users of a kind of `USERS`; all but free ones need `histories`."""
    if kind == "free":
        return FreeUsers(backend, n_users, len(owned))
    if histories is None:
        raise ValueError(f"users of kind {kind!r} need their histories")
    return {"profile": HistoryUsers, "both": BothUsers}[kind](backend, n_users, owned, histories)
