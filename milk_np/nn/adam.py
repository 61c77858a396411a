"""Adam (Kingma and Ba 2015) over named tables: dense, and for tables of which a step touches few rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from milk_np.errors import DataError, SettingsError
from milk_np.kernels.reference.adam import BETA1, BETA2, EPSILON
from milk_np.nn.arrays import Array, array_module, on_device
from milk_np.nn.embedding import RowGradient
from milk_np.nn.schedules import Schedule
from milk_np.nn.tables import Optimiser, Slots, check_rows

BETAS = (BETA1, BETA2)
EPS = EPSILON


class Adam(Optimiser):
    """Every number of a table moves at every step, as PyTorch's Adam does with dense gradients."""

    slots = ("first", "second")

    def __init__(
        self,
        tables: Mapping[str, Array],
        lr: float | Schedule = 1e-3,
        l2: float | Mapping[str, float] = 0.0,
        *,
        betas: tuple[float, float] = BETAS,
        eps: float = EPS,
        kernels: Any = None,
    ) -> None:
        """`kernels`, a module of `milk_np.kernels`, does a step in one pass, with the usual betas and eps alone."""
        super().__init__(tables, lr, l2)
        if not all(0 <= beta < 1 for beta in betas) or not eps > 0:
            raise SettingsError(f"Adam's betas are {betas}, eps {eps}; betas must be from 0 to below 1, eps above 0")
        if kernels is not None and (betas, eps) != (BETAS, EPS):
            raise SettingsError(f"Adam's kernels have betas {BETAS} and eps {EPS}; leave kernels out for others")
        if kernels is not None:
            _check_contiguous(self.tables)
        self._betas, self._eps, self._kernels = betas, eps, kernels

    def _move(self, table: Array, gradient: Array, slots: Slots, lr: float, step: int) -> None:
        first, second = slots["first"], slots["second"]
        if self._kernels is not None:
            xp = array_module(table)
            self._kernels.adam(table, xp.ascontiguousarray(gradient), first, second, lr, step)
            return
        (beta1, beta2), root = self._betas, (1 - self._betas[1] ** step) ** 0.5
        first *= beta1
        first += (1 - beta1) * gradient
        second *= beta2
        second += (1 - beta2) * gradient * gradient
        table -= lr * root / (1 - beta1**step) * first / (array_module(table).sqrt(second) + self._eps * root)


class AdamRows(Optimiser):
    """Adam for tables (R, K) whose gradients are a few rows (`RowGradient`): a step's cost doesn't grow with R.

    "exact": a row that a step doesn't touch stays behind, and makes up for it in `catch_up`, which has to be called
    for the rows of a batch before they are read, and for all rows before the table is. The result is dense Adam's to
    rounding. It needs one rate for all steps. "lazy": untouched rows and their moments stand still, as in PyTorch's
    SparseAdam: another algorithm. Neither takes an L2, which would move every row.
    """

    slots = ("first", "second", "seen")

    def __init__(
        self,
        tables: Mapping[str, Array],
        lr: float | Schedule,
        kernels: Any,
        rows: Literal["exact", "lazy"] = "exact",
    ) -> None:
        """`kernels`: the module of `milk_np.kernels` for the tables' device."""
        if rows not in ("exact", "lazy"):
            raise SettingsError(f"rows is {rows!r}; choose exact or lazy")
        if rows == "exact" and callable(lr):
            raise SettingsError(
                "rows='exact' makes up for missed steps at one rate; give a number as lr, or rows='lazy'"
            )
        super().__init__(tables, lr)
        _check_contiguous(self.tables)
        if flat := [name for name, table in tables.items() if table.ndim != 2]:
            raise SettingsError(f"table {flat[0]!r} has {tables[flat[0]].ndim} dimensions; AdamRows moves rows of two")
        self._kernels, self._exact = kernels, rows == "exact"

    def _blank(self, slot: str, table: Array) -> Array:
        return array_module(table).zeros(*((len(table), np.int64) if slot == "seen" else (table.shape, table.dtype)))

    def catch_up(self, name: str, ids: Array | None = None) -> None:
        """Bring the distinct rows `ids` (n) int32 of a table, or all, to its last step. "lazy": nothing to do."""
        table = self._table(name)
        if not self._exact or not len(table):
            return
        slots, taken = self._slots[name], self._steps[name]
        ids = array_module(table).arange(len(table), dtype=np.int32) if ids is None else ids
        moments = slots["first"], slots["second"], slots["seen"]
        self._kernels.adam_catch_up(table, *moments, ids, self._lr(0), taken)

    def _move(self, table: Array, gradient: RowGradient, slots: Slots, lr: float, step: int) -> None:
        values = array_module(table).ascontiguousarray(gradient.values)
        self._kernels.adam_rows(table, values, *(slots[slot] for slot in self.slots), gradient.ids, lr, step)

    def _check(self, name: str, gradient: Any) -> None:
        table = self._table(name)
        check_rows(name, gradient, table)
        if self._exact and not on_device(table):  # asking a device would keep its host waiting
            self._check_caught_up(name, gradient)

    def _check_caught_up(self, name: str, gradient: RowGradient) -> None:
        behind = self._slots[name]["seen"][gradient.ids] != self._steps[name]
        if behind.any():
            raise DataError(
                f"{int(behind.sum())} rows of table {name!r} have a gradient but stand at an earlier step, the first "
                f"is row {int(gradient.ids[behind][0])}; call catch_up with the rows of a batch before they are read"
            )


def _check_contiguous(tables: Mapping[str, Array]) -> None:
    """A kernel would move a copy of a table whose numbers stand apart."""
    for name, table in tables.items():
        if not table.flags.c_contiguous:
            raise SettingsError(f"table {name!r} isn't C-contiguous, as Adam's kernels need it; give a contiguous copy")
