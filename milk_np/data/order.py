"""Whether pairs and ids are in order, without an array of keys: most are, and large ones must not cost memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20


def pairs_ascend(user: NDArray[np.int32], item: NDArray[np.int32]) -> bool:
    """Whether pairs are sorted by user, then item, each pair once."""
    for start in range(0, len(user) - 1, _BLOCK):
        u, i = user[start : start + _BLOCK + 1], item[start : start + _BLOCK + 1]
        if not ((u[1:] > u[:-1]) | ((u[1:] == u[:-1]) & (i[1:] > i[:-1]))).all():
            return False
    return True


def all_distinct(ids: NDArray[np.str_]) -> bool:
    """Whether no id comes twice. Ids in order, as text or as whole numbers without a sign, need no sort."""
    after, before = ids[1:], ids[:-1]
    if (after > before).all():
        return True
    length = np.char.str_len(ids)
    if ((length[1:] > length[:-1]) | ((length[1:] == length[:-1]) & (after > before))).all():
        return True
    return len(np.unique(ids)) == len(ids)
