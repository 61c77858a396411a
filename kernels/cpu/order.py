"""In which order the products of a score are summed: one chain, or PARTS chains side by side where vectors are wide.

A chain of multiply-adds waits for itself. Of wide vectors, chain p has the products of p, p + PARTS, ...; the sums of
the chains are added up, first to last. A tile makes the chains one after the other, and one score alone makes them in
the lanes of a vector, with the same bits.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

WIDE = 512
"""Numbers from which on a vector is wide."""
PARTS = 16


@register_jitable
def parts_of(width: int) -> int:
    """How many chains the score of vectors of `width` numbers has."""
    return PARTS if width >= WIDE else 1


def column_order(width: int) -> NDArray[np.intp]:
    """The numbers of a vector, chain by chain, as panels have them."""
    parts = parts_of(width)
    return np.concatenate([np.arange(part, width, parts) for part in range(parts)])
