"""How a loss joins the values of its rows or elements: mean, sum, or not at all, so that a model can weigh them."""

from __future__ import annotations

from typing import Any, Literal

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")


def reduce_forward(values: Array, reduction: Reduction) -> tuple[Array, Any]:
    """Mean or sum of `values` (any shape), 0 if there are none, as a scalar of their type; "none": `values`."""
    if reduction not in REDUCTIONS:
        raise SettingsError(f"reduction is {reduction!r}; choose one of {', '.join(REDUCTIONS)}")
    share = 1 / max(1, values.size) if reduction == "mean" else 1.0
    out = values if reduction == "none" else values.sum() * share
    return out, (values.shape, values.dtype, share, array_module(values))


def reduce_backward(dout: Any, cache: Any) -> Array:
    """dvalues, `dout` being a number or, for "none", an array of the shape of the values."""
    shape, dtype, share, xp = cache
    dvalues = xp.empty(shape, dtype)
    dvalues[...] = dout
    dvalues *= share
    return dvalues
