"""What kernels that differ in their noise alone share when they rank held-out items.

Of every set of modalities that items are held out with: the features F of all items, the sums F^T F of every fold and
of all items, and Y F of every fold's users. They are kept from one noise to the next where KEPT_BYTES hold them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import iadd

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.cpu import lapack
from milk_np.kernels.cpu.tasks import row_parts, side_by_side
from milk_np.models.base import Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.folds import Fold
from milk_np.models.kernel_profile.limits import KEPT_BYTES
from milk_np.models.kernel_profile.ridge import jittered

ITEM_ROWS = 512
"""Items of a task."""
Sets = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Features:
    """Of one set of modalities, in float32."""

    rows: Vectors
    """F (n, L), the landmarks first, then fold after fold."""
    whole: Vectors
    """F^T F (L, L) of all items."""
    grams: list[Vectors]
    """The same of each fold's items."""
    known: list[Vectors]
    """Y F (U, L) of each fold's users."""


class Memory(dict[Hashable, Vectors]):
    """Arrays by name that are written over again and again: getting new ones from the system costs as much."""

    def array(self, name: Hashable, *shape: int) -> Vectors:
        """The array of that name, (shape) float32, whatever it holds."""
        if name not in self:
            self[name] = np.empty(shape, np.float32)
        return self[name]


class SharedFeatures:
    """Features of the items of `folds` under a kernel, whatever its noise."""

    def __init__(
        self,
        kernel: ContentKernel,
        cosines: Sequence[Vectors],
        folds: Sequence[Fold],
        right: Vectors,
        sets: Sets,
        memory: Memory,
    ) -> None:
        """`cosines` (n, L) of each modality; `right` (r, n) of the smoothing; `sets` (S, M) that may be asked for.

        The `memory` is that of the kernel before this one, of which nothing is needed anymore.
        """
        self._folds, self._right, self._sets, self._memory = folds, right, sets, memory
        self._similar = [memory.array(("similar", m), *x.shape) for m, x in enumerate(cosines)]
        _similarities(kernel, cosines, self._similar)
        self._roots: dict[int, Vectors] = {}
        self._kept: dict[int, Features] = {}
        side_by_side(self._find_root, range(len(sets)))

    def of(self, s: int) -> Features:
        """Those of set `s`."""
        if self._bytes() * len(self._sets) > KEPT_BYTES:
            return self._made(s, "any")
        if s not in self._kept:
            self._kept[s] = self._made(s, s)
        return self._kept[s]

    def _bytes(self) -> int:
        """Of one set."""
        n, L = self._similar[0].shape
        rows = n + sum(len(fold.left) for fold in self._folds) + (2 + len(self._folds)) * L
        return int(rows * L * self._similar[0].itemsize)

    def _find_root(self, s: int) -> None:
        L = self._similar[0].shape[1]
        root = jittered(self._weighted(s, slice(0, L)).astype(np.float64))
        lapack.cholesky(root)
        self._roots[s] = root.astype(np.float32)

    def _weighted(self, s: int, rows: slice, out: Vectors | None = None) -> Vectors:
        """K (rows, L) of set `s`."""
        first, *others = (x[rows] for x, mine in zip(self._similar, self._sets[s], strict=True) if mine)
        out = np.empty_like(first) if out is None else out
        np.add(first, others.pop() if others else 0, out=out)
        return reduce(iadd, others, out)

    def _made(self, s: int, name: Hashable) -> Features:
        F = self._features(s, name)
        blocks = [slice(0, F.shape[1]), *(fold.rows for fold in self._folds)]
        grams = [self._memory.array(("gram", name, b), *F.shape[1:] * 2) for b in range(len(blocks) + 1)]

        def add(b: int) -> None:
            x = F[blocks[b]]
            np.matmul(x.T, x, out=grams[b])

        side_by_side(add, range(len(blocks)))
        np.copyto(grams[-1], grams[0])
        return Features(F, reduce(iadd, grams[1:-1], grams[-1]), grams[1:-1], self._known(F, name))

    def _features(self, s: int, name: Hashable) -> Vectors:
        """F (n, L), C^-1 k of every item."""
        F = self._memory.array(("features", name), *self._similar[0].shape)

        def fill(rows: slice) -> None:
            self._weighted(s, rows, F[rows])
            lapack.divide_rows(F[rows], self._roots[s], transposed=True)

        side_by_side(fill, row_parts(len(F), ITEM_ROWS))
        return F

    def _known(self, F: Vectors, name: Hashable) -> list[Vectors]:
        whole = self._right @ F
        inner = [fold.right(self._right, F, whole) for fold in self._folds]
        out = [self._memory.array(("known", name, f), len(fold.left), F.shape[1]) for f, fold in enumerate(self._folds)]

        def fill(task: tuple[int, int]) -> None:
            f, part = task
            rows, direct = self._folds[f].direct[part]
            np.matmul(self._folds[f].left[rows], inner[f], out=out[f][rows])
            out[f][rows] += direct @ F

        side_by_side(fill, [(f, part) for f, fold in enumerate(self._folds) for part in range(len(fold.direct))])
        return out


def _similarities(kernel: ContentKernel, cosines: Sequence[Vectors], out: Sequence[Vectors]) -> None:
    """Write weight exp(scale (cosine - 1)) of every modality to `out`."""

    def fill(task: tuple[int, slice]) -> None:
        m, rows = task
        x = np.subtract(cosines[m][rows], np.float32(1), out=out[m][rows])
        x *= np.float32(kernel.scale)
        np.exp(x, out=x)
        x *= np.float32(kernel.weights[m])

    parts = row_parts(len(out[0]), ITEM_ROWS)
    side_by_side(fill, [(m, rows) for m in range(len(out)) for rows in parts])
