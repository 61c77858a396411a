"""Wide vectors in bytes, with what has to be added to a score of bytes for no true score to be above it.

Of a vector v the first HEAD numbers stay floats, the tail t is rounded: t = s q + e, q whole numbers of -127 ... 127.
For a query p and an item z

p . z <= head . head + s_p s_z (q_p . q_z) + |s_p q_p| |e_z| + |e_p| |t_z|

by Cauchy and Schwarz. Three more numbers behind the heads make the bounds a part of their product; the third, |p| |z|
times ROUNDING, is more than what rounding adds to any of these, and to the score itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.cpu.score_tile import COLUMNS, ROWS, float_at, place_of
from milk_np.kernels.cpu.tasks import in_threads, row_parts

HEAD = 16
BOUNDED = HEAD + 3
"""Numbers of a head with what bounds its tail."""
LARGEST, LEAST = np.float32(1e15), np.float32(1e-20)
"""Vectors with larger numbers than that aren't rounded to bytes, and tails with less all the way to zeros."""
_LARGEST = np.int64(LARGEST.view(np.int32))
_SHIFT = np.float32(3 << 22)
"""Where float32 has whole numbers alone: what is added to it is rounded, and stands in its last bits."""
_SHIFT_BITS = np.int32(_SHIFT.view(np.int32))
_PANELS = 16
"""Panels that a task writes."""
_MORE = np.float32(1.001)
"""What a length is multiplied with, for it was summed in float32."""


def rounding(width: int) -> np.float32:
    """Share of |p| |z| that the rounding of `width` products, and of their bounds, is below."""
    return np.float32((width + 64) * 2.0**-24)


def steps_of(width: int) -> int:
    """Groups of four bytes in a tail."""
    return (width - HEAD + 3) // 4


@njit(cache=True, nogil=True)
def _largest(bits):  # type: ignore[no-untyped-def]
    """The largest magnitude among the float32 numbers of these `bits` (int32), as bits; NaN is above infinity."""
    largest = np.int32(0)
    for k in range(len(bits)):
        largest = max(largest, np.int32(bits[k] & np.int32(0x7FFFFFFF)))
    return largest


@njit(cache=True, nogil=True, fastmath=True)
def _square(x):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for k in range(len(x)):
        total += x[k] * x[k]
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _rounded(tail, inverse, scale, shifted, q):  # type: ignore[no-untyped-def]
    """Write `tail` times `inverse` to `q`, rounded; the squares of `scale` q and of what is lost, and the sum of q.

    `shifted` is room for as many float32 numbers.
    """
    for k in range(len(tail)):
        shifted[k] = tail[k] * inverse + _SHIFT
    bits, kept, lost, total = shifted.view(np.int32), np.float32(0), np.float32(0), np.int32(0)
    for k in range(len(tail)):
        whole = np.int32(bits[k] - _SHIFT_BITS)
        q[k] = whole
        total += whole
        near = np.float32(whole) * scale
        kept += near * near
        lost += (tail[k] - near) * (tail[k] - near)
    return kept, lost, total


@njit(cache=True, nogil=True)
def quantise(row, shifted, q, bounds):  # type: ignore[no-untyped-def]
    """Bytes `q` of the tail of `row` (K) and `bounds`: scale, |s q|, |e|, |t|, |v|. Returns the sum of q.

    -1 in place of the scale means a number that is not finite or beyond LARGEST.
    """
    tail, scale, inverse = row[HEAD:], np.float32(1), np.float32(0)
    size = float_at(_largest(tail.view(np.int32)))
    bounds[0] = -1
    if max(_largest(row[:HEAD].view(np.int32)), place_of(size)) > _LARGEST:
        return np.int32(0)
    if size > LEAST:
        scale, inverse = size / np.float32(127), np.float32(127) / size
    kept, lost, total = _rounded(tail, inverse, scale, shifted, q)
    squares = _square(tail)
    bounds[0] = scale
    bounds[1], bounds[2] = np.sqrt(kept) * _MORE + LEAST, np.sqrt(lost) * _MORE + LEAST
    bounds[3] = np.sqrt(squares) * _MORE + LEAST
    bounds[4] = np.sqrt(squares + _square(row[:HEAD])) * _MORE + LEAST
    return total


@njit(cache=True, nogil=True)
def _pack_panel(items, number, panel, head, scales):  # type: ignore[no-untyped-def]
    bounds, q = np.zeros(5, np.float32), np.zeros(4 * panel.shape[0], np.int8)
    shifted = np.empty(items.shape[1] - HEAD, np.float32)
    fours, first = q.view(np.int32), number * COLUMNS
    for column in range(min(COLUMNS, len(items) - first)):
        row = items[first + column]
        quantise(row, shifted, q, bounds)
        scales[first + column] = bounds[0]
        for step in range(len(fours)):
            panel[step, column] = fours[step] ^ np.int32(-2139062144)  # 128 is added to each byte
        for k in range(HEAD):
            head[k, column] = row[k]
        head[HEAD, column], head[HEAD + 1, column], head[HEAD + 2, column] = bounds[2], bounds[3], bounds[4]


@njit(cache=True, nogil=True)
def _pack_panels(items, low, high, panels, heads, scales):  # type: ignore[no-untyped-def]
    """Write `items` (n, K) as panels `low` ... `high - 1` of `Bytes`."""
    for number in range(low, high):
        _pack_panel(items, number, panels[number], heads[number], scales)


@njit(cache=True, nogil=True)
def pack_query(row, at, x, heads, offsets, scales, rounding, shifted, q, bounds):  # type: ignore[no-untyped-def]
    """Write query `row` (K) as row `at` of a block: bytes `x`, `heads`, both in tiles; whether it can be written.

    `shifted`, `q` (zeros where the row has no number) and `bounds` are room for `quantise`.
    """
    steps = len(x) // len(scales)
    total = quantise(row, shifted, q, bounds)
    fours, tile, r = q.view(np.int32), at // ROWS, at % ROWS
    if bounds[0] < 0:
        return False
    for step in range(steps):
        x[(tile * steps + step) * ROWS + r] = fours[step]
    for k in range(HEAD):
        heads[(tile * BOUNDED + k) * ROWS + r] = row[k]
    heads[(tile * BOUNDED + HEAD) * ROWS + r] = bounds[1]
    heads[(tile * BOUNDED + HEAD + 1) * ROWS + r] = bounds[2]
    heads[(tile * BOUNDED + HEAD + 2) * ROWS + r] = bounds[4] * rounding
    offsets[at], scales[at] = np.int32(-128) * total, bounds[0]
    return True


class Bytes:
    """N items in bytes.

    panels : (P, S, COLUMNS) int32, four unsigned bytes each; heads : (P, BOUNDED, COLUMNS)
    scales : (P COLUMNS) of the tails; -1 where an item can't be written so
    whole : whether all could be written
    """

    def __init__(self, items: NDArray[np.float32]) -> None:
        n, shape = -(-len(items) // COLUMNS), (steps_of(items.shape[1]), COLUMNS)
        self.panels: NDArray[np.int32] = np.zeros((n, *shape), np.int32)
        self.heads: NDArray[np.float32] = np.zeros((n, BOUNDED, COLUMNS), np.float32)
        self.scales: NDArray[np.float32] = np.zeros(n * COLUMNS, np.float32)

        def pack(part: slice) -> None:
            _pack_panels(items, part.start, part.stop, self.panels, self.heads, self.scales)

        in_threads(pack, row_parts(n, _PANELS))
        self.whole = not bool((self.scales < 0).any())
