"""A training step that several ranks share, each with the rows of P of its own users; W and b are on all of them.

A rank draws its users' triplets of the batch and sends each with the user's row of P: all ranks then have the batch.
The extractors' products, nearly all of the work, are divided: the forward pass by items, the backward pass by rows of
W. Each number comes from one rank, in the order of a single process, so the bits are those of a single process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.share import Share
from milk_np.errors import SettingsError
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.extractors.objective import Gradients, Objective
from milk_np.models.extractors.optimiser import LazyAdam
from milk_np.models.extractors.parameters import Parameters
from milk_np.models.extractors.step import StepState, Task
from milk_np.models.extractors.users import FreeUsers
from milk_np.ranks.group import Ranks, shares
from milk_np.settings.triplets import TripletSettings
from milk_np.training.shared_sampler import Drawn, SharedSampler

LINE = 16
"""Rows of W that a rank's share is a multiple of: float32 numbers of a cache line."""
_WORDS = 3
"""Numbers of a triplet that travel before its row of P: user, positive, negative."""


def refuse_unshared(settings: TripletSettings) -> None:
    """Raise SettingsError for what a step of several ranks can't do."""
    if getattr(settings, "users", "free") != "free":
        raise SettingsError("users (--users): profiles of users can't be trained by several ranks; expected free")
    if settings.reg_scope == "all":
        raise SettingsError("reg_scope (--reg-scope): all parameters can't be regularised by several ranks")


def step_bytes(B: int, n: int, K: int, widths: Sequence[int]) -> dict[str, int]:
    """Bytes that a step of B triplets with n distinct items hands to every rank, by what they are."""
    return {
        "triplets and rows of P": 4 * B * (_WORDS + K),
        "vectors of the items": 4 * len(widths) * n * K,
        "gradient of W": 4 * K * sum(widths),
    }


class Whole(NamedTuple):
    """A batch as all ranks have it: `users` (B) are rows of `table` (n_u, K), whose ids are `ids` (n_u)."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    table: Array
    ids: NDArray[np.int32]


class SharedObjective(Objective):
    """The objective, its products divided among the ranks."""

    ranks: Ranks

    def _extract(self, params: Parameters, rows: Array) -> tuple[Array, list[Any]]:
        """c of this rank's share of the items; then everybody's."""
        c = self._scratch.take("c", (len(self._tables), len(rows), params.P.shape[1]), params.P.dtype)
        bounds = shares(len(rows), self.ranks.size)
        mine = slice(bounds[self.ranks.rank], bounds[self.ranks.rank + 1])
        self._kernels.extract_all(self._tables, rows[mine], params.W, params.b, c[:, mine])
        for part in c:
            self.ranks.all_rows(part, bounds)
        return c, []

    def _extract_backward(
        self, params: Parameters, rows: Array, dc: Array, caches: list[Any]
    ) -> tuple[Array, list[Array], list[Array]]:
        """This rank's share of the rows of each dW; then everybody's."""
        weights, dW, db = self._weight_gradients(params)
        for table, part, gradient, bias in zip(self._tables, dc, dW, db, strict=True):
            bounds = shares(len(gradient), self.ranks.size, LINE)
            low, high = bounds[self.ranks.rank : self.ranks.rank + 2].tolist()
            self._kernels.extract_backward_shared(*table, rows, part, gradient, bias, low, high)
            self.ranks.all_rows(gradient, bounds)
        return weights, dW, db


class SharedStep(StepState):
    """All training state of a rank apart from the parameters."""

    def __init__(
        self,
        backend: Backend,
        ds: Dataset,
        settings: TripletSettings,
        tables: Any,
        params: Parameters,
        task: Task,
        share: Share,
    ) -> None:
        settings = settings.resolve()
        self.share = share
        sampler = SharedSampler(
            backend,
            ds,
            share,
            negatives=str(settings.negatives),
            batch_size=settings.batch_size,
            seed=settings.seed,
            pool=settings.negative_pool,
        )
        super().__init__(backend, tables, params, task, LazyAdam(backend, params, settings.lr), sampler)
        # A device's products aren't divided: it has no kernel for some rows of a gradient.
        kind = SharedObjective if backend.name == "cpu" else Objective
        users = FreeUsers(backend, settings.batch_size, ds.n_items)
        owned = backend.asarray(ds.available)
        self._objective = kind(backend, tables, owned, settings.batch_size, self.weights, users)
        if isinstance(self._objective, SharedObjective):
            self._objective.ranks = share.ranks
        room = settings.batch_size, _WORDS + params.P.shape[1]
        self._sent = backend.empty(room, np.float32) if self._on_device else backend.host_buffer(room, np.float32)

    @property
    def _on_device(self) -> bool:
        """Whether triplets travel from device to device, not through the host."""
        return self._backend.name != "cpu" and self.share.ranks.takes_device

    def run(self, epoch: int, step: int) -> None:
        """Step `step` (from 0) of `epoch` (from 1)."""
        batch = self._whole(self.sampler.batch(epoch, step))
        params = Parameters(batch.table, self.params.weights, self.params.W, self.params.b)
        users, items = self._backend.asarray(batch.users), self._backend.asarray(batch.items)
        by_user = self._objective.group(users)
        theta = self._epoch_theta(epoch)[step]
        gradients = self._objective(params, users, items, theta, self._record[step], by_user)
        self._move(gradients, by_user, batch.ids)

    def _whole(self, drawn: Drawn) -> Whole:
        """The batch, its triplets exchanged with the other ranks."""
        place, ranks = self._backend.asarray, self.share.ranks
        self.optimiser.catch_up(place(np.unique(drawn.users)))
        sent, n, first = self._sent[: len(drawn.order)], len(drawn.users), drawn.bounds[ranks.rank]
        mine = sent[first : first + n]
        words = np.stack([drawn.users + np.int32(self.share.first_user), drawn.items[:n], drawn.items[n:]], axis=1)
        rows = self.params.P[place(drawn.users)]
        mine[:, :_WORDS] = place(words.view(np.float32)) if self._on_device else words.view(np.float32)
        mine[:, _WORDS:] = rows if self._on_device else self._backend.to_host(rows)
        self._backend.synchronize()
        ranks.all_rows(sent, drawn.bounds)
        words = np.empty((len(sent), _WORDS), np.int32)
        words[drawn.order] = self._backend.to_host(sent[:, :_WORDS]).view(np.int32)
        ids, at, users = np.unique(words[:, 0], return_index=True, return_inverse=True)
        places = np.argsort(drawn.order)[at]
        table = place(place(sent)[place(places), _WORDS:])
        return Whole(users.astype(np.int32), np.concatenate([words[:, 1], words[:, 2]]), table, ids)

    def _move(self, gradients: Gradients, by_user: Groups, ids: NDArray[np.int32]) -> None:
        """Adam on this rank's rows of P, and on W and b, as all ranks do."""
        users = self._backend.asarray(ids)[by_user.unique] - np.int32(self.share.first_user)
        mine = (users >= 0) & (users < len(self.params.P)) & (by_user.unique >= 0)
        if self._backend.name == "cpu":
            self.optimiser.move_users(users[mine], gradients.P[mine])
        else:  # padding rows, which are left out
            users[~mine] = -1
            self.optimiser.move_users(users, gradients.P)
        self.optimiser.move_weights(gradients.weights)
