"""A training step of MILK: draw a batch, go forward and backward, move the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.data.prefetch import Prefetcher, mapped_bytes
from milk_np.data.rows import FeatureArray
from milk_np.machine.memory import available_bytes
from milk_np.models.milk.environments import mixing_weights, n_environments
from milk_np.models.milk.objective import Objective, Table, Weights, parts
from milk_np.models.milk.optimiser import Adam
from milk_np.models.milk.parameters import Parameters
from milk_np.models.milk.replay import Replay
from milk_np.models.milk.users import Histories, make_users
from milk_np.training.sampler import TripletSampler


class MilkStep:
    """All training state apart from the parameters; `settings` are MILK's, or have the same attributes."""

    def __init__(
        self,
        backend: Backend,
        ds: Dataset,
        settings: Any,
        tables: Sequence[Table],
        params: Parameters,
    ) -> None:
        settings = settings.resolve()
        self._backend, self._settings, self.params, self.tables = backend, settings, params, tables
        self._M = len(tables)
        self._weights = objective_weights(settings)
        owned = backend.asarray(ds.available)
        histories = None if settings.users == "free" else Histories(*map(backend.asarray, ds.csr(Split.TRAIN)))

        def new_objective() -> Objective:
            users = make_users(settings.users, backend, ds.n_users, owned, histories)
            return Objective(backend, tables, owned, ds.n_users, self._weights, users)

        self._objective = new_objective()
        self.optimiser = Adam(backend, params, settings.lr)
        self.sampler = TripletSampler(
            backend,
            ds,
            negatives=str(settings.negatives),
            batch_size=settings.batch_size,
            seed=settings.seed,
            pool=settings.negative_pool,
        )
        self._record = backend.zeros((self.sampler.steps, self._environments() + 2), np.float64)
        self._theta: tuple[int, Array] = (0, None)
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
        fixed = self._settings.users == "free" and not self._weights.all_parameters
        resident = all(self._backend.resident(table.raw) for table in self.tables)
        if not (self._backend.captures and fixed and resident):
            return []
        mixing, rest = (self._environments(), self._M), (self.optimiser, self.sampler, self.params, self._record)
        whole = self.sampler.n_triplets // self.sampler.batch_size
        sizes = (range(whole), range(whole, self.sampler.steps))
        return [Replay(self._backend, new_objective(), *rest, mixing, steps) for steps in sizes if steps]

    def losses(self, steps: int) -> dict[str, float]:
        """Weighted parts of the objective, means over the first `steps` steps of the current epoch."""
        return parts(self._backend.to_host(self._record)[:steps], self._weights)

    def state(self) -> dict[str, Array]:
        """What `load_state` continues from."""
        return {"record": self._record, **self.optimiser.state()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`."""
        self._record[...] = self._backend.asarray(state["record"])
        self.optimiser.load_state(dict(state))

    def _environments(self) -> int:
        if "ceim" in self._settings.without:
            return 1
        return n_environments(self._M, self._settings.environments, self._settings.env_draws)

    def _epoch_theta(self, epoch: int) -> Array:
        """Mixing weights (steps, E, M) of `epoch`, sent to the device once."""
        if self._theta[0] != epoch:
            self._theta = epoch, self._backend.asarray(self._draw_theta(epoch), self.params.P.dtype)
        return self._theta[1]

    def _draw_theta(self, epoch: int) -> NDArray[np.float64]:
        settings, steps = self._settings, self.sampler.steps
        if "ceim" in settings.without:
            return np.full((steps, 1, self._M), 1 / self._M)
        return mixing_weights(
            settings.seed,
            epoch,
            steps,
            self._M,
            settings.dirichlet_alpha,
            settings.environments,
            settings.env_draws,
        )


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


def objective_weights(settings: Any) -> Weights:
    """Weights of the objective's terms under resolved settings, removed modules at zero."""
    return Weights(
        invariance=0.0 if "ceim" in settings.without else settings.invariance_weight,
        alignment=0.0 if "cmam" in settings.without else settings.align_weight,
        regulariser=settings.reg,
        mean=settings.risk == "mean",
        all_parameters=settings.reg_scope == "all",
    )
