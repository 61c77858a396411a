"""A training step: draw a batch, go forward and backward, move the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.prefetch import Prefetcher, mapped_bytes
from milk_np.data.rows import FeatureArray
from milk_np.machine.memory import available_bytes
from milk_np.models.extractors.mixing import Mixing
from milk_np.models.extractors.objective import BackendTable, Objective, Weights, parts
from milk_np.models.extractors.optimiser import LazyAdam
from milk_np.models.extractors.parameters import Parameters
from milk_np.models.extractors.replay import Replay
from milk_np.models.extractors.users import Users
from milk_np.settings.triplets import TripletSettings
from milk_np.training.sampler import TripletSampler


class Task(NamedTuple):
    """What a model makes of the triplets."""

    weights: Weights
    mixing: Mixing
    new_users: Callable[[], Users]
    """Another users' part for each objective, with scratch of its own."""


class StepState:
    """What steps keep apart from the parameters: optimiser, sampler, the losses of the epoch."""

    def __init__(
        self,
        backend: Backend,
        tables: Sequence[BackendTable],
        params: Parameters,
        task: Task,
        optimiser: LazyAdam,
        sampler: Any,
    ) -> None:
        self._backend, self.params, self.tables = backend, params, tables
        self.weights, self._mixing, _ = task
        self.optimiser, self.sampler = optimiser, sampler
        self._record = backend.zeros((sampler.steps, self._mixing.count + 2), np.float64)
        self._theta: tuple[int, Array] = (0, None)

    def losses(self, steps: int) -> dict[str, float]:
        """Weighted parts of the objective, means over the first `steps` steps of the current epoch."""
        return parts(self._backend.to_host(self._record)[:steps], self.weights)

    def state(self) -> dict[str, Array]:
        """What `load_state` continues from."""
        return {"record": self._record, **self.optimiser.state()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`."""
        self._record[...] = self._backend.asarray(state["record"])
        self.optimiser.load_state(dict(state))

    def _epoch_theta(self, epoch: int) -> Array:
        """Mixing weights (steps, E, M) of `epoch`, sent to the device once."""
        if self._theta[0] != epoch:
            self._theta = epoch, self._backend.asarray(self._draw_theta(epoch), self.params.P.dtype)
        return self._theta[1]

    def _draw_theta(self, epoch: int) -> NDArray[np.floating[Any]]:
        return self._mixing.draw(epoch, self.sampler.steps)


class TripletStep(StepState):
    """All training state apart from the parameters."""

    def __init__(
        self,
        backend: Backend,
        ds: Dataset,
        settings: TripletSettings,
        tables: Sequence[BackendTable],
        params: Parameters,
        task: Task,
    ) -> None:
        settings = settings.resolve()
        sampler = TripletSampler(
            backend,
            ds,
            negatives=str(settings.negatives),
            batch_size=settings.batch_size,
            seed=settings.seed,
            pool=settings.negative_pool,
        )
        super().__init__(backend, tables, params, task, LazyAdam(backend, params, settings.lr), sampler)
        owned = backend.asarray(ds.available)

        def new_objective() -> Objective:
            return Objective(backend, tables, owned, ds.n_users, self.weights, task.new_users())

        self._objective = new_objective()
        self._ahead = _Ahead(self.sampler, [table.raw for table in tables])
        self._replays = self._replayed(new_objective)

    def run(self, epoch: int, step: int) -> None:
        """Step `step` (from 0) of `epoch` (from 1)."""
        for replay in self._replays:
            if step in replay.steps:
                return replay.run(epoch, step, lambda: self._draw_theta(epoch))
        users, items = self._ahead.batch(epoch, step)
        by_user = self._objective.group(users)
        self.optimiser.catch_up(by_user.unique)
        theta = self._epoch_theta(epoch)[step]
        gradients = self._objective(self.params, users, items, theta, self._record[step], by_user)
        self.optimiser.step(gradients)

    def _replayed(self, new_objective: Callable[[], Objective]) -> list[Replay]:
        """What replays the batches of each size on a device; none where a step's launches differ, or on the host."""
        resident = all(self._backend.resident(table.raw) for table in self.tables)
        if not (self._backend.captures and self._objective.fixed and resident):
            return []
        mixing = self._mixing.count, len(self.tables)
        rest = (self.optimiser, self.sampler, self.params, self._record)
        whole = self.sampler.n_triplets // self.sampler.batch_size
        sizes = (range(whole), range(whole, self.sampler.steps))
        return [Replay(self._backend, new_objective(), *rest, mixing, steps) for steps in sizes if steps]


class _Ahead:
    """Batches of the sampler; where the features don't fit the memory, the next one's rows are read ahead.

    Those of users' histories aren't: a profile reads nearly all training items at every step.
    """

    def __init__(self, sampler: TripletSampler, features: Sequence[FeatureArray]) -> None:
        self._sampler = sampler
        too_large = mapped_bytes(features) > available_bytes()
        self._prefetcher = Prefetcher(features) if too_large else None
        self._next: tuple[tuple[int, int], tuple[Array, Array]] | None = None
        self._asked: Future[None] | None = None

    def batch(self, epoch: int, step: int) -> tuple[Array, Array]:
        """Users and items of a batch; see `TripletSampler.batch`. Raises what went wrong in reading ahead."""
        if self._prefetcher is None:
            return self._sampler.batch(epoch, step)
        if self._asked is not None:
            self._asked.result()
        ready = self._next and self._next[0] == (epoch, step)
        batch = self._next[1] if self._next and ready else self._sampler.batch(epoch, step)
        following = (epoch, step + 1) if step + 1 < self._sampler.steps else (epoch + 1, 0)
        self._next = following, self._sampler.batch(*following)
        self._asked = self._prefetcher.ask(self._next[1][1])
        return batch
