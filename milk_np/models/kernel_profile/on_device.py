"""Vectors of users and items on a device: what evaluation, serving and the axes ask of a fitted kernel profile.

Features pass by in blocks of items; landmarks, coefficients and histories are sent once. Back come the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.files import Arrays
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.adjusting import adjusted
from milk_np.models.kernel_profile.blocks import Items, table_of
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.need import BLOCK_ROWS
from milk_np.models.kernel_profile.ridge import choose_sets
from milk_np.models.kernel_profile.spans import row_slices
from milk_np.serving.axes import turned

ROWS = (np.float32, np.float16)
"""Types of features that kernels read."""


class DeviceVectors:
    """The parameters of a kernel profile on the device of `backend`."""

    def __init__(self, backend: Backend, arrays: Arrays, centres: Sequence[Vectors], kernel: ContentKernel) -> None:
        self.backend, self.arrays, self._kernel = backend, arrays, kernel
        put, M = backend.asarray, len(centres)
        self._centres = [put(x) for x in centres]
        self._axes = [put(arrays[f"axes{m}"]) for m in range(M)]
        self._landmarks = [put(np.ascontiguousarray(arrays[f"landmark{m}"].T)) for m in range(M)]
        self._coefficients: dict[int, Array] = {}

    def items(self, tables: Sequence[NDArray[Any]], ids: NDArray[Any], owned: NDArray[np.bool_]) -> Vectors:
        """Vectors (n, K) of the items whose raw features are the rows `ids` (n) of each modality's table.

        `owned` (n, M) says which modalities they have. Items with the same regression are worked on together.
        """
        chosen = choose_sets(owned, self.arrays["sets"])
        order = np.argsort(chosen, kind="stable")
        out = np.empty((len(ids), self.arrays["coefficients"].shape[2]), np.float32)
        items = self._items(tables, ids[order], owned[order])
        for each in np.unique(chosen):
            span = slice(*np.searchsorted(chosen[order], [each, each + 1]))
            weights, base = items.weights(self.arrays["sets"][each]), self._of_set(int(each))
            for block in items.blocks(span):
                found = items.features(items.similar(block), weights, base)
                out[order[block]] = self.backend.to_host(found.astype(np.float32))
        return adjusted(out, ~self.arrays["sets"][chosen], self.arrays)

    def _items(self, tables: Sequence[NDArray[Any]], ids: NDArray[Any], owned: NDArray[np.bool_]) -> Items:
        rows = [x if x.dtype.type in ROWS else x.astype(np.float32) for x in tables]
        there = self.backend.asarray(np.ascontiguousarray(owned.T))
        given = self._centres, self._axes, self._landmarks, self._kernel
        return Items(self.backend, rows, ids.astype(np.int32), None, there, *given)

    def _of_set(self, each: int) -> Array:
        """Coefficients (L, K) of a set of modalities: products with them are in float64, as on the host."""
        if each not in self._coefficients:
            self._coefficients[each] = self.backend.asarray(self.arrays["coefficients"][each], np.float64)
        return self._coefficients[each]

    @cached_property
    def _history(self) -> Array:
        """Vectors of histories (I, K); on the host if the device has no room for them."""
        return table_of(self.backend, np.asarray(self.arrays["history"]), 0)

    def users(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> Vectors | None:
        """Sums (n, K) of the history vectors of compressed rows of items; None if the device has no room for these."""
        if isinstance(self._history, np.ndarray):
            return None
        put, K = self.backend.asarray, self._history.shape[1]
        out = np.empty((len(indptr) - 1, K), np.float32)
        for rows in row_slices(len(out), BLOCK_ROWS[self.backend.name]):
            ends = indptr[rows.start : rows.stop + 1]
            sums = self.backend.empty((len(ends) - 1, K), np.float32)
            lists = put(ends - ends[0], np.int64), put(items[ends[0] : ends[-1]], np.int32)
            self.backend.kernels.sum_lists(*lists, self._history, sums)
            out[rows] = self.backend.to_host(sums)
        return out


def turned_on(backend: Backend, rows: NDArray[Any], axes: Floats, out: NDArray[np.float32] | None = None) -> Vectors:
    """`milk_np.serving.axes.turned`, the products made on the device of `backend`."""
    if backend.name == "cpu":
        return turned(rows, axes, out)
    out = np.empty((len(rows), axes.shape[1]), np.float32) if out is None else out
    there = backend.asarray(np.ascontiguousarray(axes))
    for block in row_slices(len(rows), BLOCK_ROWS[backend.name]):
        wide = backend.asarray(rows[block]).astype(np.float64)
        product = backend.empty((len(wide), axes.shape[1]), np.float64)
        backend.kernels.multiply(wide, there, product)
        out[block] = backend.to_host(product.astype(np.float32))
    return out
