"""e^x in single precision, as LLVM can make vectors of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, int32, njit
from numba.extending import intrinsic

LOG2_E = np.float32(1 / np.log(2))
LN2_HIGH = np.float32(0.693359375)
"""Ln 2 to nine bits: its multiples by whole numbers up to 2^15 are exact."""
LN2_LOW = np.float32(np.log(2) - 0.693359375)
"""What is left of ln 2."""
ROUNDER = np.float32(3 << 22)
"""A number so large that what is added to it is rounded to a whole one, which its lowest bits then hold."""
ONE = np.int32(127 << 23)
"""The bits of 1: adding n << 23 to them makes 2^n."""
SMALLEST = np.float32(-87)
"""Below, e^x has fewer digits than a float, or none: it becomes 0."""
SERIES = tuple(np.float32(1 / np.prod(np.arange(1, n + 1, dtype=float))) for n in range(8))
"""1 / n!: the terms up to the seventh power leave 7e-9 of e^r for |r| up to half of ln 2."""


@njit(cache=True, fastmath={"contract"})
def power_of_e(x: Any) -> Any:
    """e^x of a float32 x up to 80, to 2 units in the last place; 0 below -87; NaN stays NaN.

    x = n ln 2 + r, and e^x = 2^n e^r.
    """
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    power = SERIES[7]
    power = power * r + SERIES[6]
    power = power * r + SERIES[5]
    power = power * r + SERIES[4]
    power = power * r + SERIES[3]
    power = power * r + SERIES[2]
    power = power * r + SERIES[1]
    power = power * r + SERIES[0]
    power *= _as_float((_as_bits(shifted) << np.int32(23)) + ONE)
    return np.float32(0) if x < SMALLEST else power


@intrinsic
def _as_bits(_typing: Any, x: Any) -> Any:
    def make(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return (int32(float32), make) if x == float32 else None


@intrinsic
def _as_float(_typing: Any, bits: Any) -> Any:
    def make(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return float32(bits), make
