"""Adam on the parameters of a model: dense on weights, by rows on the user table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.models.extractors.objective import Gradients
from milk_np.models.extractors.parameters import Parameters


class LazyAdam:
    """Adam (Kingma and Ba 2015) with its usual constants, exact for the untouched rows of P too.

    Dense Adam moves every row of P at every step, since its moments keep decaying. Here a row that a batch doesn't
    touch is left unchanged, and `catch_up` applies the missed steps when it is next read. The cost of a step
    doesn't grow with U, and the result is dense Adam's to rounding.
    """

    def __init__(self, backend: Backend, params: Parameters, lr: float) -> None:
        self._kernels: Any = backend.kernels
        self._backend, self._params, self.lr = backend, params, lr
        self.step_count = 0
        self._clock: tuple[Array, Array] | None = None
        tables = {"P": params.P, "weights": params.weights}
        self._first = {name: backend.zeros(x.shape, x.dtype) for name, x in tables.items()}
        self._second = {name: backend.zeros(x.shape, x.dtype) for name, x in tables.items()}
        self._seen = backend.zeros(len(params.P), np.int64)
        self._all_users = backend.asarray(np.arange(len(params.P), dtype=np.int32))

    def catch_up(self, users: Array | None = None) -> None:
        """Bring the rows `users` of P, distinct, to the last step; all rows when None. P may have none."""
        if not len(self._params.P):
            return
        self._kernels.adam_catch_up(
            self._params.P,
            self._first["P"],
            self._second["P"],
            self._seen,
            self._all_users if users is None else users,
            self.lr,
            self._when(0),
        )

    def step(self, gradients: Gradients) -> None:
        """Move the parameters; the rows of P that have a gradient must have been caught up."""
        if gradients.users is None:
            self._dense("P", self._params.P, gradients.P)
            self._seen[...] = self.step_count + 1
        else:
            self.move_users(gradients.users, gradients.P)
        self.move_weights(gradients.weights)

    def move_users(self, users: Array, grad: Array) -> None:
        """Move the rows `users` of P alone, by their gradient; `move_weights` has to follow. P may have none."""
        if not len(self._params.P):
            return
        first, second = self._first["P"], self._second["P"]
        self._kernels.adam_rows(self._params.P, grad, first, second, self._seen, users, self.lr, self._when(1))

    def move_weights(self, grad: Array) -> None:
        """Move all W and b, which ends the step."""
        self._dense("weights", self._params.weights, grad)
        self.step_count += 1

    @contextmanager
    def timed_by(self, count: Array, rates: Array) -> Iterator[None]:
        """Take the number of steps so far from `count` (1) and the next one's rates from `rates` (2), on the device.

        What is launched meanwhile can be launched again for another step.
        """
        self._clock = count, rates
        try:
            yield
        finally:
            self._clock = None

    def _when(self, ahead: int) -> Any:
        """The step `ahead` of those so far: its number, or where the kernels find it."""
        return self._kernels.replay.Tick(*self._clock, ahead) if self._clock else self.step_count + ahead

    def _dense(self, name: str, param: Array, grad: Array) -> None:
        self._kernels.adam(param, grad, self._first[name], self._second[name], self.lr, self._when(1))

    def state(self) -> dict[str, Array]:
        """Arrays that `load_state` continues from, under names that are never a parameter's."""
        moments = {f"first_{k}": v for k, v in self._first.items()}
        moments |= {f"second_{k}": v for k, v in self._second.items()}
        return {**moments, "seen": self._seen, "step_count": np.array(self.step_count)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step_count = int(state["step_count"])
        self._seen[...] = self._backend.asarray(state["seen"])
        for kind, store in (("first", self._first), ("second", self._second)):
            for name, array in store.items():
                array[...] = self._backend.asarray(state[f"{kind}_{name}"])
