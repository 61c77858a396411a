"""Random numbers on either device that depend on a seed, a name, counters and their place, and on nothing else.

They are SplitMix64 (Steele, Lea and Flood 2014) from the state `rng.stream_key(seed, stream, *counters)`, all at once:
integer arithmetic, so the host and the device draw the same bits, and nothing is copied from one to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from milk_np.nn.arrays import Array
from milk_np.rng import stream_key

LANES = 1 << 16
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)


def words(xp: Any, count: int, seed: int, stream: str, *counters: int) -> Array:
    """The first `count` numbers (uint64) of that stream."""
    z = xp.arange(1, count + 1, dtype=np.uint64)
    z *= GOLDEN
    z += np.uint64(stream_key(seed, stream, *counters))
    for shift, factor in ((30, FIRST), (27, SECOND)):
        z ^= z >> np.uint64(shift)
        z *= factor
    z ^= z >> np.uint64(31)
    return z


def lanes(xp: Any, count: int, seed: int, stream: str, *counters: int) -> Array:
    """`count` numbers from 0 to 65535 (uint16), four from a word: a quarter of the work."""
    return words(xp, -(-count // 4), seed, stream, *counters).view(np.uint16)[:count]


def uniforms(xp: Any, count: int, seed: int, stream: str, *counters: int) -> Array:
    """`count` numbers (float64) above 0 and below 1."""
    return ((words(xp, count, seed, stream, *counters) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(xp: Any, shape: tuple[int, ...], dtype: DTypeLike, seed: int, stream: str, *counters: int) -> Array:
    """Standard normal numbers of that shape (Box and Muller 1958); the two devices differ in their last bits."""
    count = int(np.prod(shape))
    pairs = uniforms(xp, 2 * -(-count // 2), seed, stream, *counters).reshape(2, -1)
    radius, angle = xp.sqrt(-2 * xp.log(pairs[0])), 2 * np.pi * pairs[1]
    drawn = xp.concatenate([radius * xp.cos(angle), radius * xp.sin(angle)])
    return drawn[:count].reshape(shape).astype(dtype)
