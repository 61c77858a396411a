"""Several optimisers of one model, each with separate tables, rates and state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from milk_np.errors import DataError, SettingsError
from milk_np.nn.tables import SEPARATOR, Optimiser, check_name


class Several:
    """Optimisers by name over disjoint tables; `several["reader"]` is one of them, to step it alone."""

    def __init__(self, optimisers: Mapping[str, Optimiser]) -> None:
        self._optimisers = dict(optimisers)
        self._owner: dict[str, str] = {}
        arrays: dict[int, str] = {}
        for owner, optimiser in self._optimisers.items():
            check_name(owner)
            for name, table in optimiser.tables.items():
                other = self._owner.get(name) or arrays.get(id(table))
                if other:
                    raise SettingsError(
                        f"table {name!r} of optimiser {owner!r} is moved by {other!r} too; leave it to one"
                    )
                self._owner[name], arrays[id(table)] = owner, owner

    def __getitem__(self, name: str) -> Optimiser:
        return self._optimisers[name]

    def step(self, gradients: Mapping[str, Any]) -> None:
        """Give every gradient to the optimiser of its table; those that get none don't step."""
        parts: dict[str, dict[str, Any]] = {}
        for name, gradient in gradients.items():
            if name not in self._owner:
                raise SettingsError(f"no optimiser moves a table {name!r}; there are {', '.join(self._owner)}")
            parts.setdefault(self._owner[name], {})[name] = gradient
        for owner, part in parts.items():
            self._optimisers[owner].step(part)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies on the host, fit for an .npz file, under keys `optimiser/slot/table`."""
        each = ((owner, optimiser.state()) for owner, optimiser in self._optimisers.items())
        return {SEPARATOR.join((owner, key)): array for owner, state in each for key, array in state.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`, to the bit; DataError if it belongs to other optimisers or tables."""
        parts: dict[str, dict[str, NDArray[Any]]] = {owner: {} for owner in self._optimisers}
        for key, array in state.items():
            owner, _, rest = key.partition(SEPARATOR)
            if owner not in parts:
                raise DataError(
                    f"the state holds {key}, but there is no optimiser {owner!r}; there are {', '.join(parts)}"
                )
            parts[owner][rest] = array
        for owner, optimiser in self._optimisers.items():
            optimiser.check_state(parts[owner])
        for owner, optimiser in self._optimisers.items():
            optimiser.load_state(parts[owner])
