"""Dropout (Srivastava et al. 2014) by a mask that is a function of seed, name and counters, not of earlier draws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module, compiled, host_kernels
from milk_np.nn.keyed import LANES, lanes
from milk_np.rng import stream_key


class Drawn(NamedTuple):
    """A mask that isn't kept: its key, how many lanes of LANES stay, and by what they are multiplied."""

    key: int
    kept: int
    factor: float


def dropout_forward(x: Array, rate: float, seed: int, stream: str, *counters: int) -> tuple[Array, Any]:
    """x (any shape) with each number zeroed with probability `rate`, the others divided by 1 - rate.

    The counters are those of the step (epoch, step): the same ones give the same mask on either device. `rate` is
    rounded to 1/65536, and 0, for evaluation, returns x itself.
    """
    kept = round((1 - rate) * LANES)
    if not (0 <= rate < 1 and kept):
        raise SettingsError(f"the rate of a dropout is {rate}; it must be from 0 to below 1")
    if kept == LANES:
        return x, None
    if compiled(x):
        drawn = Drawn(stream_key(seed, stream, *counters), kept, LANES / kept)
        return _drawn(x, drawn), drawn
    mask = lanes(array_module(x), x.size, seed, stream, *counters).reshape(x.shape) < kept
    return _masked(x, (mask, LANES / kept)), (mask, LANES / kept)


def dropout_backward(dout: Array, cache: Any) -> Array:
    """dx: the mask of the forward pass again."""
    if cache is None:
        return dout
    return _drawn(dout, cache) if isinstance(cache, Drawn) else _masked(dout, cache)


def _masked(x: Array, cache: Any) -> Array:
    mask, factor = cache
    out = x * factor
    out *= mask
    return out


def _drawn(x: Array, drawn: Drawn) -> Array:
    """The same numbers drawn while they are used."""
    out = np.empty(x.shape, x.dtype)
    host_kernels().mask_numbers(*drawn, x, out)
    return out
