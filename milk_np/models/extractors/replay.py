"""Training steps on a device, replayed: one step is recorded and launched again for every batch of its size.

Batches are drawn and grouped many at a time. All that differs between two steps is in device memory (the batch, the
environments' weights, Adam's rates, the row that the losses go to), so that a step's launches have the same arguments
and can be captured as a graph. The last batch of an epoch, which may be smaller, has a separate recorded step.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import ALIGNED, Array, Backend
from milk_np.kernels.reference.adam import rates
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.extractors.objective import Objective
from milk_np.models.extractors.optimiser import LazyAdam
from milk_np.models.extractors.parameters import Parameters
from milk_np.training.sampler import TripletSampler

MOST_BATCHES = 32
"""Batches that are drawn at once."""
TABLE_BYTES = 1 << 26
"""Scratch that grouping may take for them."""


class Batches:
    """Batches drawn ahead: users, items and their groups in a row of int32 each, and the one that a step reads."""

    def __init__(self, backend: Backend, B: int, U: int, n_items: int, count: int) -> None:
        """Room for `count` batches of `B` triplets."""
        widths = backend.kernels.replay.widths
        sizes = [B, 2 * B, *widths(B, U), *widths(2 * B, n_items)]
        self._sizes = sizes
        self._starts = [0, *accumulate(-(-size // ALIGNED) * ALIGNED for size in sizes)]
        self.ahead = backend.empty((count, self._starts[-1]), np.int32)
        self.current = backend.empty((1, self._starts[-1]), np.int32)
        self.tables = [backend.full((count, n), -1, np.int32) for n in (U, n_items)]

    def parts(self, rows: Array) -> tuple[Array, Array, Groups, Groups]:
        """Users, items and the groups of both as views of `rows`."""
        users, items, *groups = (
            rows[..., start : start + size] for start, size in zip(self._starts, self._sizes, strict=False)
        )
        return users, items, Groups(*groups[:4]), Groups(*groups[4:])


class Replay:
    """The batches of one size in an epoch, step by step."""

    def __init__(
        self,
        backend: Backend,
        objective: Objective,
        optimiser: LazyAdam,
        sampler: TripletSampler,
        params: Parameters,
        record: Array,
        mixing: tuple[int, int],
        steps: range,
    ) -> None:
        """For the batches `steps` of an epoch, all of one size; `mixing` is (E, M).

        `record` (steps of an epoch, E + 2) receives the losses. Nothing else may use the `objective`, whose scratch the
        recorded step keeps to.
        """
        self._backend, self._objective, self._optimiser = backend, objective, optimiser
        self._sampler, self._params, self._record = sampler, params, record
        self.steps = steps
        U, n_items = sampler.n_users, sampler.n_items
        room = min(MOST_BATCHES, max(1, TABLE_BYTES // (4 * (U + n_items))), len(steps))
        B = sampler.size(steps[0])
        self._batches = Batches(backend, B, U, n_items, 1 if sampler.pooled else room)
        self._mixing = mixing
        self._now = backend.zeros(mixing[0] * mixing[1] + 2, params.P.dtype)
        self._made = backend.zeros(record.shape[1], np.float64)
        self._clock = backend.zeros(3, np.int64)
        self._play = backend.recorded(self._step)
        self._schedule: Array = None
        self._stands: tuple[int, int, int] | None = None
        """The clock's epoch, step and number of Adam's steps."""

    def run(self, epoch: int, step: int, mixing: Callable[[], NDArray[np.floating[Any]]]) -> None:
        """Batch `step` of `epoch`; `mixing` draws the weights (steps, E, M) of the epoch's environments."""
        before, slot = self._optimiser.step_count, (step - self.steps[0]) % len(self._batches.ahead)
        jumped = self._stands != (epoch, step, before)
        if jumped:
            self._schedule = self._plan(mixing(), before - step)
            self._backend.kernels.replay.set_clock(slot, step, before, self._clock)
        if jumped or slot == 0:
            self._draw(epoch, step - slot)
        self._play()
        self._optimiser.step_count = before + 1  # a replay doesn't count
        self._stands = epoch, step + 1, before + 1

    def _plan(self, mixing: NDArray[np.floating[Any]], before: int) -> Array:
        """The schedule (steps, E M + 2) of an epoch that begins after `before` steps of Adam, on the device."""
        lr = self._optimiser.lr
        moves = np.array([rates(lr, before + 1 + step) for step in range(len(mixing))])
        plan = np.concatenate([mixing.reshape(len(mixing), -1), moves], axis=1)
        if self._schedule is None:
            return self._backend.asarray(plan, self._now.dtype)
        self._schedule.set(plan.astype(self._now.dtype))  # where the recorded step reads it
        return self._schedule

    def _draw(self, epoch: int, first: int) -> None:
        """Draw and group the batches from `first` on, as many as there is room for."""
        kernels, count = self._backend.kernels.replay, min(len(self._batches.ahead), self.steps.stop - first)
        users, items, by_user, by_item = self._batches.parts(self._batches.ahead[:count])
        self._sampler.fill(epoch, first, users, items)
        kernels.group_batches(users, self._batches.tables[0], by_user)
        kernels.group_batches(items, self._batches.tables[1], by_item)

    def _step(self) -> None:
        """One step. Nothing here may depend on which one it is."""
        kernels, batches, optimiser = self._backend.kernels.replay, self._batches, self._optimiser
        kernels.begin_step(self._clock, batches.ahead, batches.current, self._schedule, self._now)
        users, items, by_user, by_item = batches.parts(batches.current[0])
        theta = self._now[:-2].reshape(self._mixing)
        with optimiser.timed_by(self._clock[2:], self._now[-2:]):
            caught_up = self._backend.aside(lambda: optimiser.catch_up(by_user.unique))
            extracted = self._objective.extract(self._params, users, items, by_user, by_item)
            caught_up()
            pulled = self._objective.pull(self._params, extracted, theta, self._made)
            moved = self._backend.aside(lambda: optimiser.move_users(pulled.users, pulled.P))
            optimiser.move_weights(self._objective.weigh(self._params, extracted, pulled).weights)
            moved()
        kernels.end_step(self._clock, self._made, self._record)
