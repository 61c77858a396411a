"""Named, counter-based random streams.

Every random draw of a run is keyed by the seed, the name of what is drawn and counters such as the epoch. A draw
therefore never depends on what was drawn before it: thread count, evaluation and resuming change nothing.
"""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(x: int) -> int:
    """Finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection of the 64-bit integers."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def stream_key(seed: int, stream: str, *counters: int) -> int:
    """64-bit key of the stream named `stream` under `seed`, at the given counters (epoch, step, ...)."""
    key = splitmix64(seed & _MASK)
    for byte in stream.encode():
        key = splitmix64(key ^ byte)
    for counter in counters:
        key = splitmix64(key ^ splitmix64(counter & _MASK))
    return key


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """NumPy generator (Philox) of that stream, for draws made on the host."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, stream, *counters)))
