"""Dropout (Srivastava et al. 2014) by a mask that is a function of seed, name and counters, not of earlier draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module, compiled, host_kernels
from milk_np.nn.keyed import LANES, lanes
from milk_np.rng import stream_key


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
        drawn = stream_key(seed, stream, *counters), kept, LANES / kept
        return _drawn(x, drawn), drawn
    mask = lanes(array_module(x), x.size, seed, stream, *counters).reshape(x.shape) < kept
    return _masked(x, (mask, LANES / kept)), (mask, LANES / kept)


def dropout_backward(dout: Array, cache: Any) -> Array:
    """dx: the mask of the forward pass again."""
    if cache is not None and compiled(dout):
        return _drawn(dout, cache)
    return dout if cache is None else _masked(dout, cache)


def _masked(x: Array, cache: Any) -> Array:
    mask, factor = cache
    out = x * factor
    out *= mask
    return out


def _drawn(x: Array, drawn: tuple[int, int, float]) -> Array:
    """The same numbers drawn while they are used."""
    out = np.empty(x.shape, x.dtype)
    host_kernels().mask_numbers(*drawn, x, out)
    return out
