"""Rows that are replaced where a mask says so: randomised training of DropoutNet, Heater and CLCRec."""

from __future__ import annotations

from typing import Any

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module
from milk_np.nn.keyed import words


def choose_rows(xp: Any, n: int, share: float, seed: int, stream: str, *counters: int) -> Array:
    """A mask (n) bool of exactly floor(share n) rows, a function of seed, name and counters on either device."""
    if not 0 <= share <= 1:
        raise SettingsError(f"the share of rows to replace is {share}; it must be from 0 to 1")
    order = words(xp, n, seed, stream, *counters).argsort()
    mask = xp.zeros(n, bool)
    mask[order[: int(share * n)]] = True
    return mask


def switch_forward(mask: Array, a: Array, b: Array | None = None) -> tuple[Array, Any]:
    """out (n, K): rows of a where `mask` (n) bool is true, elsewhere those of b, or zeros where b is None."""
    out = array_module(a).where(mask[:, None], a, a.dtype.type(0) if b is None else b)
    return out, (mask, b is not None)


def switch_backward(dout: Array, cache: Any) -> tuple[Array, Array | None]:
    """da and db (n, K); None where there is no b."""
    mask, other = cache
    xp, zero = array_module(dout), dout.dtype.type(0)
    db = xp.where(mask[:, None], zero, dout) if other else None
    return xp.where(mask[:, None], dout, zero), db
