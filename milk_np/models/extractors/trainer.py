"""A model in training: its steps for the loop, its state for the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data.share import Share
from milk_np.models.extractors.shared_step import SharedStep
from milk_np.models.extractors.step import TripletStep
from milk_np.training.trainer import Trainer


class Moved(Protocol):
    """The model whose parameters the steps move."""

    def moved(self) -> None:
        """Parameters have changed."""


class TripletTrainer(Trainer):
    """Batches of triplets, one optimiser."""

    user_tables: ClassVar[frozenset[str]] = frozenset({"P", "first_P", "second_P", "seen"})

    def __init__(
        self, model: Moved, step: TripletStep | SharedStep, backend: Backend, share: Share | None = None
    ) -> None:
        self._model, self.engine, self._backend, self.share = model, step, backend, share

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return int(self.engine.sampler.steps)

    @property
    def examples(self) -> int:
        """Triplets of an epoch: the training pairs that have a negative."""
        return int(self.engine.sampler.n_triplets)

    def step(self, epoch: int, step: int) -> None:
        """One batch: draw, forward and backward, Adam."""
        self._model.moved()
        self.engine.run(epoch, step)

    def losses(self, steps: int) -> dict[str, float]:
        """Parts of the objective so far in this epoch; see `milk_np.models.extractors.objective.parts`."""
        return self.engine.losses(steps)

    def flush(self) -> None:
        """Bring the rows of P that no recent batch touched to the last step."""
        self.engine.optimiser.catch_up()

    def state(self) -> dict[str, NDArray[Any]]:
        """Parameters, moments, and the losses of the current epoch."""
        state = {**dict(self.engine.params.arrays()), **self.engine.state()}
        return {name: self._backend.to_host(array) for name, array in state.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`."""
        self._model.moved()
        for name, array in self.engine.params.arrays():
            array[...] = self._backend.asarray(state[name])
        self.engine.load_state(state)

    def diagnosis(self) -> str:
        """Which parameters are no longer finite, and how many items have feature rows of zeros."""
        bad = [name for name, x in self.engine.params.arrays() if not self._finite(x)]
        empty = [int((self._backend.to_host(table.scale) == 0).sum()) for table in self.engine.tables]
        return (
            f"not finite: {', '.join(bad) or 'no parameter'}; "
            f"feature rows that are all zero, by modality: {', '.join(map(str, empty))}"
        )

    def _finite(self, array: Array) -> bool:
        return bool(np.isfinite(self._backend.to_host(array)).all())
