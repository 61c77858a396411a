"""What all optimisers share: named tables that they move in place, one state for each, and a check of what comes in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError, SettingsError
from milk_np.nn.arrays import Array, array_module, to_host
from milk_np.nn.embedding import RowGradient
from milk_np.nn.schedules import Schedule, constant

SEPARATOR = "/"
"""Keys of a state hold one, names of tables and optimisers none: keys differ from each other and from every name."""

Slots = dict[str, Array]


class Optimiser(ABC):
    """Moves `tables`, arrays by name, in place. `state` and `load_state` carry all else that the next step needs.

    A table that is given no gradient at a step stays as it is, and so does its state; zeros let its moments decay.
    Each table counts its own steps, which the schedule and Adam's bias correction go by.
    """

    slots: ClassVar[tuple[str, ...]]
    """Names of the arrays, as large as the table, that the optimiser keeps for each table."""

    def __init__(
        self, tables: Mapping[str, Array], lr: float | Schedule, l2: float | Mapping[str, float] = 0.0
    ) -> None:
        """`lr` is a rate or a schedule of rates. `l2` times the table is added to its gradient (coupled L2).

        That is the gradient of l2 / 2 |table|^2, PyTorch's weight decay; by name for some of the tables, 0 for others.
        """
        _check_tables(tables)
        self.tables = dict(tables)
        self._lr = lr if callable(lr) else constant(lr)
        self._l2 = _by_name(self.tables, l2)
        self._slots = {name: {slot: self._blank(slot, x) for slot in self.slots} for name, x in self.tables.items()}
        self._steps = dict.fromkeys(self.tables, 0)

    @abstractmethod
    def _move(self, table: Array, gradient: Any, slots: Slots, lr: float, step: int) -> None:
        """Step number `step`, from 1, of one table."""

    def _blank(self, slot: str, table: Array) -> Array:
        return array_module(table).zeros_like(table, order="C")

    def step(self, gradients: Mapping[str, Any]) -> None:
        """Move each table that has a gradient; the gradients are left as they are."""
        for name, gradient in gradients.items():
            self._check(name, gradient)
        for name, gradient in gradients.items():
            table, taken = self.tables[name], self._steps[name]
            if self._l2[name]:
                gradient = gradient + self._l2[name] * table
            self._move(table, gradient, self._slots[name], self._lr(taken), taken + 1)
            self._steps[name] = taken + 1

    def _check(self, name: str, gradient: Any) -> None:
        table = self._table(name)
        if gradient.shape != table.shape or gradient.dtype != table.dtype:
            raise DataError(
                f"the gradient of table {name!r} has shape {gradient.shape} and type {gradient.dtype}, the table "
                f"{table.shape} and {table.dtype}; both must agree"
            )

    def _table(self, name: str) -> Array:
        if name not in self.tables:
            raise SettingsError(f"no table {name!r} to move; this optimiser has {', '.join(self.tables)}")
        return self.tables[name]

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies on the host, fit for an .npz file, under keys `slot/table`."""
        arrays = {SEPARATOR.join((slot, name)): to_host(x) for name, slot, x in self._each_slot()}
        return arrays | {SEPARATOR.join(("steps", name)): np.array(n) for name, n in self._steps.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`, to the bit; DataError if it belongs to another kind of optimiser or other tables."""
        self.check_state(state)
        for name, slot, array in self._each_slot():
            array[...] = array_module(array).asarray(state[SEPARATOR.join((slot, name))])
        self._steps = {name: int(state[SEPARATOR.join(("steps", name))]) for name in self.tables}

    def check_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """DataError if `load_state` can't go on from it."""
        keys = {SEPARATOR.join((slot, name)) for name in self.tables for slot in (*self.slots, "steps")}
        _check_keys(set(state), keys)
        for name, slot, array in self._each_slot():
            _check_like(key := SEPARATOR.join((slot, name)), state[key], array)

    def _each_slot(self) -> list[tuple[str, str, Array]]:
        return [(name, slot, x) for name, slots in self._slots.items() for slot, x in slots.items()]


def check_name(name: str) -> None:
    """Names must leave the keys of a state unambiguous."""
    if not name or SEPARATOR in name:
        raise SettingsError(f"the name {name!r} of a table or optimiser must not be empty or hold {SEPARATOR!r}")


def _check_tables(tables: Mapping[str, Array]) -> None:
    seen: dict[int, str] = {}
    for name, table in tables.items():
        check_name(name)
        if np.dtype(table.dtype).kind != "f":
            raise SettingsError(f"table {name!r} holds {table.dtype}; an optimiser moves floating point numbers")
        if not getattr(getattr(table, "flags", None), "writeable", True):
            raise SettingsError(f"table {name!r} is read-only; give a copy that can be moved in place")
        if id(table) in seen:
            raise SettingsError(f"tables {seen[id(table)]!r} and {name!r} are one array; it would move twice a step")
        seen[id(table)] = name


def _by_name(tables: Mapping[str, Array], l2: float | Mapping[str, float]) -> dict[str, float]:
    given = l2 if isinstance(l2, Mapping) else dict.fromkeys(tables, l2)
    if unknown := set(given) - set(tables):
        raise SettingsError(f"l2 names {', '.join(sorted(unknown))}; the tables are {', '.join(tables)}")
    if bad := {name: value for name, value in given.items() if not 0 <= value < float("inf")}:
        raise SettingsError(f"l2 is {bad}; it must be 0 or more")
    return {name: float(given.get(name, 0.0)) for name in tables}


def _check_keys(given: set[str], expected: set[str]) -> None:
    if missing := expected - given:
        raise DataError(f"the optimiser's state lacks {', '.join(sorted(missing))}")
    if unknown := given - expected:
        raise DataError(f"the optimiser's state holds {', '.join(sorted(unknown))}, which belong to no table of it")


def _check_like(key: str, given: NDArray[Any], array: Array) -> None:
    if given.shape != array.shape or given.dtype != array.dtype:
        raise DataError(
            f"{key} of the optimiser's state has shape {given.shape} and type {given.dtype}; "
            f"expected {array.shape} and {array.dtype}"
        )


def check_rows(name: str, gradient: Any, table: Array) -> None:
    """DataError unless the gradient of a table (R, K) is a `RowGradient` of its type."""
    if not isinstance(gradient, RowGradient):
        raise DataError(
            f"the gradient of table {name!r} must be a RowGradient; for a whole array use the dense optimiser"
        )
    expected = (len(gradient.ids), table.shape[1])
    if gradient.values.shape != expected or gradient.values.dtype != table.dtype:
        raise DataError(
            f"the gradient of {len(gradient.ids)} rows of table {name!r} has shape {gradient.values.shape} and "
            f"type {gradient.values.dtype}; expected {expected} and {table.dtype}"
        )
