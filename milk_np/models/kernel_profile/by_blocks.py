"""The closed form from its sums: regressions of every set of owned modalities, history vectors, coefficients.

The whole set's regression gives the users' vectors their axes: with N = F^T F + noise I, C C^T the landmarks' kernel
and G = F N^-1, the Gram matrix of R B G is G^T Q = W diag(variance) W^T, history vectors are B G W, and the targets
T = B^T R^T R B G W / variance = Q W / variance. So the coefficients are C^-T W of the whole set, which has Q in closed
form, and C^-T N^-1 (F^T Q) W / variance of every other. What is of L by L is done by some columns at a time, on all
cores: a number is one thread's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import linalg

from milk_np.backends.base import Array, Backend
from milk_np.kernels.cpu import lapack
from milk_np.kernels.cpu.tasks import row_parts, side_by_side
from milk_np.models.base import Floats
from milk_np.models.kernel_profile.blocks import Items, history, normals, targets
from milk_np.models.kernel_profile.content import similarities
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import jittered, weighted
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.spans import LOCAL, Engine

Float32 = NDArray[np.float32]

LEAST_AXIS = {"d": 1e-10, "f": 1e-7}
"""Axes of less than this share of the largest one's variance are rounding noise of float64, of float32: in float32 such
axes have had 3e-8 at most."""


COLUMNS = 128
"""Columns of a task."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The regressions of S sets, and the vectors of the items' histories."""

    coefficients: Float32
    """(S, L, K)."""
    history: Iterator[tuple[slice, Array]]
    """h (n, K) by blocks of items, on the backend."""


def fit_by_blocks(
    items: Items,
    pairs: Pairs,
    smoother: Smoother,
    sets: NDArray[np.bool_],
    landmarks: Sequence[Float32],
    width: int,
    dtype: DTypeLike = np.float32,
    column_bytes: int | None = None,
    engine: Engine = LOCAL,
) -> Fitted:
    """Regressions on the content of `landmarks` (L, D) for each of `sets` (S, M), the whole one first.

    At most `width` axes are kept. Products are in `dtype`, their sums in float64; what is of L by L is the host's. The
    sums over items are made by `engine`, those over users by that of `pairs`.
    """
    backend, kernel = items.backend, items.kernel

    def put(x: Floats) -> Array:
        return backend.asarray(np.ascontiguousarray(x), dtype)

    similar, weights = similarities(landmarks, landmarks, kernel.scale), [items.weights(owned) for owned in sets]
    roots = [jittered(weighted(similar, kernel.weights, owned)) for owned in sets]
    side_by_side(lapack.cholesky, roots)
    narrow, *others = _inverses(roots)
    bases = [put(inverse.T) for inverse in (narrow, *others)]
    del others
    factors = normals(items, weights, bases, engine)
    for gram in factors:
        gram[np.diag_indices_from(gram)] += kernel.noise
    side_by_side(lapack.cholesky, factors)
    _by_columns(narrow, lambda x, _: lapack.solve(x, factors[0]))  # N^-1 C^-1
    sums = targets(items, pairs, smoother, weights, [put(narrow.T), *bases[1:]], column_bytes, engine)
    variance, W = principal_axes(sums.products[0], width, LEAST_AXIS[np.dtype(dtype).char])
    coefficients = np.empty((len(sets), *W.shape), np.float32)
    _whole(W, roots[0], coefficients[0])
    for s in range(1, len(sets)):
        _other(sums.products[s], W / variance, roots[s], factors[s], coefficients[s])
    found = history(items, smoother, weights[0], put(_product(narrow.T, W)), put(sums.smoothed @ W), engine)
    return Fitted(coefficients, found)


def _inverses(roots: Sequence[Floats]) -> list[Floats]:
    """C^-1 (L, L) of every C, the lower triangles of `roots`."""
    out = [np.empty_like(root) for root in roots]

    def invert(one: int) -> None:
        out[one][...] = lapack.inverse(roots[one])

    side_by_side(invert, range(len(roots)))
    return out


def _whole(W: Floats, root: Floats, out: Float32) -> None:
    """Write the coefficients C^-T W of the whole set to `out`."""
    x = W.copy()
    _by_columns(x, lambda part, _: lapack.divide(part, root, transposed=True))
    out[...] = x


def _other(product: Floats, scaled: Floats, root: Floats, factor: Floats, out: Float32) -> None:
    """Write the coefficients C^-T N^-1 (F^T Q) W / variance of another set to `out`."""

    def fill(columns: slice) -> None:
        x = product @ scaled[:, columns]
        lapack.solve(x, factor)
        lapack.divide(x, root, transposed=True)
        out[:, columns] = x

    side_by_side(fill, row_parts(out.shape[1], COLUMNS))


def _product(a: Floats, b: Floats) -> Floats:
    """a b."""
    out = np.empty((len(a), b.shape[1]))
    _by_columns(out, lambda part, columns: np.matmul(a, b[:, columns], out=part))
    return out


def _by_columns(x: Floats, work: Callable[[Floats, slice], Any]) -> None:
    """`work` of the columns of `x`, some at a time, and where they stand."""
    side_by_side(lambda columns: work(x[:, columns], columns), row_parts(x.shape[1], COLUMNS))


def principal_axes(gram: Floats, width: int, least: float) -> tuple[Floats, Floats]:
    """Variances (K,), descending, and axes (L, K) of `gram` (L, L): the `width` longest, or all there are.

    Those of less than the share `least` of the longest one's variance are left out.
    """
    variance, axes = linalg.eigh((gram + gram.T) / 2, driver="evd")
    first = max(0, len(variance) - width)
    keep = np.flatnonzero(variance > least * variance[-1])
    keep = keep[keep >= first][::-1]
    return variance[keep], axes[:, keep]


def collect(
    fitted: Fitted, backend: Backend, factor: Floats, popularity: Floats, rows: NDArray[Any], out: Float32
) -> Float32:
    """Write h times `factor` (n,) into the `rows` (n,) of `out` (I, K); its mean over pairs (K,), by `popularity`."""
    scale, counts = backend.asarray(factor, np.float32)[:, None], backend.asarray(popularity, np.float32)[:, None]
    total = backend.zeros((1, out.shape[1]), np.float64)
    for block, h in fitted.history:
        h *= scale[block]
        backend.kernels.add_products(counts[block], h, total)
        out[rows[block]] = backend.to_host(h)
    mean: Float32 = (backend.to_host(total)[0] / max(popularity.sum(), 1)).astype(np.float32)
    return mean
