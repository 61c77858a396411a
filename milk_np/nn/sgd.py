"""Stochastic gradient descent with momentum, and Adagrad (Duchi, Hazan and Singer 2011), over named tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module, compiled, host_kernels, on_device
from milk_np.nn.embedding import RowGradient, scatter_add
from milk_np.nn.schedules import Schedule
from milk_np.nn.tables import Optimiser, Slots, check_rows


class SGD(Optimiser):
    """velocity = momentum velocity + gradient; table -= lr velocity, as in PyTorch (no dampening, no Nesterov)."""

    slots = ("velocity",)

    def __init__(
        self,
        tables: Mapping[str, Array],
        lr: float | Schedule,
        momentum: float = 0.9,
        l2: float | Mapping[str, float] = 0.0,
    ) -> None:
        """`momentum` 0 is plain gradient descent."""
        super().__init__(tables, lr, l2)
        if not 0 <= momentum < 1:
            raise SettingsError(f"momentum is {momentum}; it must be from 0 to below 1")
        self._momentum = momentum

    def _move(self, table: Array, gradient: Array, slots: Slots, lr: float, step: int) -> None:
        velocity = slots["velocity"]
        if compiled(table, gradient) and table.flags.c_contiguous:
            host_kernels().momentum_step(table, np.ascontiguousarray(gradient), velocity, self._momentum, lr)
            return
        velocity *= self._momentum
        velocity += gradient
        table -= lr * velocity


class Adagrad(Optimiser):
    """total += gradient^2; table -= lr gradient / (sqrt(total) + eps). A number without gradient doesn't move."""

    slots = ("total",)

    def __init__(
        self,
        tables: Mapping[str, Array],
        lr: float | Schedule,
        l2: float | Mapping[str, float] = 0.0,
        *,
        eps: float = 1e-10,
        initial: float = 0.0,
    ) -> None:
        """`initial` is what the totals begin at: 0 in PyTorch, 0.1 in TensorFlow."""
        if not (eps > 0 and initial >= 0):
            raise SettingsError(f"Adagrad's eps is {eps}, initial {initial}; eps must be above 0, initial 0 or more")
        self._eps, self._initial = eps, initial
        super().__init__(tables, lr, l2)

    def _blank(self, slot: str, table: Array) -> Array:
        blank = super()._blank(slot, table)
        blank += self._initial
        return blank

    def _move(self, table: Array, gradient: Array, slots: Slots, lr: float, step: int) -> None:
        total = slots["total"]
        total += gradient * gradient
        table -= lr * gradient / (array_module(table).sqrt(total) + self._eps)


class AdagradRows(Adagrad):
    """The same for tables (R, K) whose gradients are a few rows (`RowGradient`); the other rows would not move.

    On a device, where a row gradient has padding, the whole table takes the step, with zeros elsewhere. It takes no L2,
    which would move every row.
    """

    def __init__(
        self, tables: Mapping[str, Array], lr: float | Schedule, *, eps: float = 1e-10, initial: float = 0.0
    ) -> None:
        """As `Adagrad`."""
        super().__init__(tables, lr, eps=eps, initial=initial)

    def _move(self, table: Array, gradient: RowGradient, slots: Slots, lr: float, step: int) -> None:
        if on_device(table):
            super()._move(table, scatter_add(gradient.ids, gradient.values, len(table)), slots, lr, step)
            return
        rows, total = table[gradient.ids], slots["total"][gradient.ids]
        super()._move(rows, gradient.values, {"total": total}, lr, step)
        table[gradient.ids], slots["total"][gradient.ids] = rows, total

    def _check(self, name: str, gradient: Any) -> None:
        check_rows(name, gradient, self._table(name))
