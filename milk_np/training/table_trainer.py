"""A trainer of named tables: what systems that learn by batches and optimisers of their own share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.kernels.blas import one_blas_thread
from milk_np.nn.several import Several
from milk_np.nn.tables import SEPARATOR, Optimiser
from milk_np.training.trainer import Trainer

RECORD = "record"


class TableTrainer(Trainer):
    """Moves `tables` by several optimisers; a system says what a batch is and what it costs.

    BLAS has one thread in a step, so that the bits don't depend on the number of threads.
    """

    parts: ClassVar[tuple[str, ...]]
    """Names of the parts of the objective that `learn` returns; the total is their sum."""

    _sampler: Any
    """What a system draws its batches from, set before `__init__` is called: it has `steps` and `examples`."""

    def __init__(
        self,
        backend: Backend,
        tables: Mapping[str, Array],
        optimisers: Mapping[str, Optimiser],
        moved: Callable[[], None],
    ) -> None:
        """`moved` is called when the tables have changed, with all that has been computed from them."""
        self.backend, self.tables, self.moved = backend, dict(tables), moved
        self.several = Several(optimisers)
        self._record: Array = backend.zeros((self.steps, len(self.parts)), np.float64)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return int(self._sampler.steps)

    @property
    def examples(self) -> int:
        """Rows of all batches of an epoch, such as training pairs."""
        return int(self._sampler.examples)

    @abstractmethod
    def learn(self, epoch: int, step: int) -> Sequence[Any]:
        """One batch: draw it, move the tables; returns the values of `parts`, scalars of the host or the device."""

    def step(self, epoch: int, step: int) -> None:
        """One batch, its losses recorded where they are."""
        self.moved()
        with one_blas_thread():
            for place, value in enumerate(self.learn(epoch, step)):
                self._record[step, place] = value

    def losses(self, steps: int) -> dict[str, float]:
        """Means of the parts over the first `steps` steps of the epoch, and before them their sum."""
        means = self.backend.to_host(self._record)[:steps].mean(axis=0).tolist()
        return {"total": sum(means), **dict(zip(self.parts, means, strict=True))}

    def state(self) -> dict[str, NDArray[Any]]:
        """Tables, optimisers, and the losses of the current epoch."""
        arrays = {**self.tables, RECORD: self._record}
        return {**{name: self.backend.to_host(x) for name, x in arrays.items()}, **self.several.state()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`."""
        self.moved()
        for name, array in {**self.tables, RECORD: self._record}.items():
            array[...] = self.backend.asarray(state[name])
        self.several.load_state({name: x for name, x in state.items() if SEPARATOR in name})

    def diagnosis(self) -> str:
        """Which tables are no longer finite."""
        bad = [name for name, x in self.tables.items() if not np.isfinite(self.backend.to_host(x)).all()]
        return f"not finite: {', '.join(bad) or 'no table'}"
