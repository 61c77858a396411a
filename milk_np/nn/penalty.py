"""The L2 penalty on weights that most systems have beside the loss of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from milk_np.nn.arrays import Array, compiled, host_kernels


def penalise(tables: Mapping[str, Array], gradients: dict[str, Array], names: Sequence[str], weight: float) -> Any:
    """weight sum |table|^2 over the tables `names`; its gradient, 2 weight table, is added to theirs in `gradients`.

    The arrays of `gradients` may be changed: they must be the caller's own.
    """
    return weight * sum(_penalise(tables[name], gradients, name, weight) for name in names)


def _penalise(table: Array, gradients: dict[str, Array], name: str, weight: float) -> Any:
    gradient = gradients[name]
    if compiled(table, gradient) and table.flags.c_contiguous and gradient.flags.c_contiguous:
        return table.dtype.type(host_kernels().add_penalty(table, gradient, weight))
    gradients[name] = gradient + (2 * weight) * table
    return (table * table).sum()
