"""How much of a product is worked on at a time: from the sizes of the caches, never by timing.

Blocks decide the speed alone. A sum is one chain of multiply-adds whatever they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from milk_np.kernels.cpu.microkernel import PACKED, PERIOD, columns_of
from milk_np.kernels.cpu.prefetch import LINE_BYTES
from milk_np.kernels.cpu.tile import FETCHED

_UNITS = {"K": 1 << 10, "M": 1 << 20}


@dataclass(frozen=True)
class Caches:
    """Bytes of the first two levels of a core's caches for data; the defaults are small ones of today's processors."""

    first: int = 32 << 10
    second: int = 512 << 10


@cache
def caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> Caches:
    """The caches that Linux tells of in `folder`; the defaults where it doesn't."""
    sizes: dict[str, int] = {}
    try:
        for index in folder.glob("index[0-9]*"):
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                sizes[level] = int(size[:-1]) * _UNITS[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return Caches()
    return Caches(sizes.get("1", Caches.first), sizes.get("2", Caches.second))


def forward_depth(columns: int, itemsize: int, of: Caches | None = None) -> int:
    """Numbers of a row from one visit of its sums to the next: so much of the weight takes a quarter of the second
    level. No more than 512: what is fetched ahead has to last."""
    depth = (of or caches()).second // 4 // (columns * itemsize) // PERIOD * PERIOD
    return max(PERIOD, min(512, depth))


def backward_depth(itemsize: int, of: Caches | None = None) -> int:
    """Rows of a block: a panel of them takes a quarter of the first level at most; a power of two."""
    most = (of or caches()).first // 4 // (columns_of(PACKED, itemsize) * itemsize)
    return int(max(PERIOD, 1 << (most.bit_length() - 1)))


def backward_span(columns: int, itemsize: int, of: Caches | None = None) -> int:
    """Columns of x in a task at most: a block of its rows takes an eighth of the second level, its sums a quarter.

    Whole windows of what a tile fetches, where that is more than one: what is left of a row would take another tile.
    """
    second, width = (of or caches()).second, columns_of(PACKED, itemsize)
    depth = backward_depth(itemsize, of)
    most = min(second // 8 // (depth * itemsize), second // 4 // (columns * itemsize))
    window = depth // PERIOD * FETCHED * LINE_BYTES // itemsize
    whole = most // window * window or most
    return int(max(width, whole // width * width))


def query_rows(columns: int, of: Caches | None = None) -> int:
    """Queries of so many float32 numbers that a thread takes at a time, about: a quarter of the second level, not
    more than 128, whose lists fit there too."""
    most = (of or caches()).second // 4 // (4 * max(1, columns))
    return int(max(4 * PACKED.rows, min(128, most)))
