"""Shared by the tests on a GPU: orders of threads, and batches on the device.

Where no GPU can be used, importing this skips the file that does so, with the reason; MILK_REQUIRE_GPU=1 makes it fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import milk_np.kernels.reference as reference
from milk_np.backends import select

PROBLEM = select.gpu_problem()
if PROBLEM is not None and os.environ.get("MILK_REQUIRE_GPU") == "1":
    raise RuntimeError(f"MILK_REQUIRE_GPU=1, but {PROBLEM}")
if PROBLEM is not None:
    pytest.skip(PROBLEM, allow_module_level=True)

import cupy  # noqa: E402

import milk_np.kernels.gpu as gpu  # noqa: E402
from milk_np.backends.cupy import CupyBackend as CupyBackend  # noqa: E402

EMULATOR: Any = sys.modules.get("cupy_on_cpu")
"""CuPy may run on an emulator of the device: it can run threads in another order, and counts copies and launches."""

counted = pytest.mark.emulator  # a device keeps no counts of its copies

ORDERS = (0, 1, 2, 3, 4)
"""Orders of threads and blocks to run a kernel under; a device has its own."""
orders_of_threads = st.sampled_from(ORDERS)
SIZES = (1, 31, 32, 33, 1025)


def examples(count: int) -> settings:
    """So many examples, however slow the emulator is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def thread_order(number: int) -> Iterator[None]:
    """Run threads and blocks in the order of this number, 0 for the natural one."""
    if EMULATOR is not None:
        EMULATOR.seed(number)
    try:
        yield
    finally:
        if EMULATOR is not None:
            EMULATOR.seed(0)


def put(values: Any, dtype: Any = None) -> Any:
    """An array on the device; groups become groups of arrays there."""
    if isinstance(values, reference.Groups):
        return reference.Groups(*map(cupy.asarray, values))
    return cupy.asarray(values, dtype)


def home(array: Any) -> Any:
    """The array on the host."""
    return cupy.asnumpy(array)


@dataclass
class DeviceBatch:
    """A batch of `kernel_cases` on the device, its groups with rows of nobody behind the distinct ids."""

    P: Any
    c: Any
    users: Any
    ds: Any
    owned: Any
    by_user: Any
    by_item: Any

    @classmethod
    def of(cls, batch: Any) -> DeviceBatch:
        by_user = gpu.group(put(batch.users), cupy.full(len(batch.P), -1, np.int32))
        by_item = gpu.group(put(batch.items), cupy.full(len(batch.owned), -1, np.int32))
        M, n, K = batch.c.shape
        c = np.full((M, len(by_item.unique), K), np.nan, batch.dtype)  # what no triplet reads may hold anything
        c[:, :n] = batch.c
        return cls(put(batch.P), put(c), put(batch.users), put(batch.ds), put(batch.owned), by_user, by_item)


class Guarded:
    """An array of NaN in the middle of a larger one, to notice what is written beside it."""

    MARGIN = 64

    def __init__(self, shape: Any, dtype: Any) -> None:
        size = int(np.prod(shape))
        self._store = cupy.full(size + 2 * self.MARGIN, np.nan, dtype)
        self.array = self._store[self.MARGIN : self.MARGIN + size].reshape(shape)

    def home(self) -> Any:
        """The array on the host, once it is sure that nothing beside it has changed."""
        beside = np.concatenate([home(self._store[: self.MARGIN]), home(self._store[-self.MARGIN :])])
        assert np.isnan(beside).all(), "something was written beside the array"
        return home(self.array)


def kernel_module(name: str) -> Any:
    """The module of a family of kernels; kernels of the same name hide it in the package."""
    return sys.modules[f"milk_np.kernels.gpu.{name}"]


def split(array: Any, n: int, axis: int = 0) -> tuple[Any, Any]:
    """Rows of distinct ids and rows of nobody, of an array on the host."""
    return tuple(np.split(array, [n], axis))  # type: ignore[return-value]


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max(initial=1e-9))


def lists(rng: np.random.Generator, rows: int, columns: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    lengths = rng.integers(0, longest, rows) * (rng.random(rows) < 0.8)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return indptr, rng.integers(0, columns, indptr[-1]).astype(np.int32)
