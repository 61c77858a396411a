"""Shared by the kernel tests: one table of tolerances, and batches with repeated users and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import milk_np.kernels.reference as reference

#: Largest error allowed, relative to the largest number of the result.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def assert_close(actual: Any, expected: Any, dtype: Any = np.float32, terms: int = 1) -> None:
    """`terms` is how many random terms of either sign a number sums up: rounding grows with their root."""
    scale = max(1.0, terms**0.5, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@dataclass
class Batch:
    """A random batch of triplets over small tables, with everything the kernels take."""

    P: Any
    c: Any
    users: Any
    items: Any
    by_user: Any
    by_item: Any
    owned: Any
    ds: Any
    rng: Any

    @property
    def dtype(self) -> Any:
        return self.P.dtype.type


def make_batch(seed: int, B: int, M: int, K: int, U: int, n_items: int, dtype: Any) -> Batch:
    rng = np.random.default_rng(seed)
    users = rng.integers(0, U, B).astype(np.int32)
    items = rng.integers(0, n_items, 2 * B).astype(np.int32)
    by_user = reference.group(users, np.full(U, -1, np.int32))
    by_item = reference.group(items, np.full(n_items, -1, np.int32))
    c = rng.standard_normal((M, len(by_item.unique), K)).astype(dtype)
    owned = rng.random((n_items, M)) < 0.7
    owned[np.arange(n_items), rng.integers(0, M, n_items)] = True
    P = rng.standard_normal((U, K)).astype(dtype)
    return Batch(P, c, users, items, by_user, by_item, owned, rng.standard_normal((M, B)).astype(dtype), rng)


batches = st.builds(
    make_batch,
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([1, 2, 31, 32, 33, 255, 257, 1025]),
    M=st.integers(1, 5),
    K=st.sampled_from([1, 3, 8, 31, 33, 64]),
    U=st.sampled_from([1, 5, 700]),
    n_items=st.sampled_from([1, 6, 900]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
