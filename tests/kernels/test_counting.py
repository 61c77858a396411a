"""Counting along sorted lists against the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from milk_np.kernels.cpu.counting import NUMBERS, count_passed


@njit
def passed(ascending, start, stop, r):  # type: ignore[no-untyped-def]
    return count_passed(ascending, start, stop, r)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(
    length=st.integers(0, 5 * NUMBERS), before=st.integers(0, 3), after=st.integers(0, 3), seed=st.integers(0, 2**16)
)
def test_members_before_the_free_number(dtype: type, length: int, before: int, after: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    C = length + int(rng.integers(1, 60))
    own = np.sort(rng.choice(C, length, replace=False))
    ascending = np.concatenate([np.full(before, -1), own, np.full(after, -1)]).astype(dtype)
    free = np.setdiff1d(np.arange(C), own)
    for r in (0, len(free) // 2, len(free) - 1):
        assert r + passed(ascending, before, before + length, r) == free[r]
