"""Parameters and their gradients: user table P, a weight W and bias b for each modality, a scale g."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backends.base import ALIGNED, Array, Backend
from milk_np.rng import generator

USER_DEVIATION = 0.1
USER_BLOCK = 1 << 16
START_SCALE = float(np.log(5))
"""Principal axes of unit rows leave differences of items of about .3: margins then begin where the risk has a slope."""


@dataclass
class Parameters:
    """P (U, K), W^m (D_m, K), b^m (K), and g (1), the logarithm of a length of users' vectors, where they have one.

    All but P are views of one vector, `weights`, so that an optimiser moves them in one pass. P has no rows where
    users have no free vectors.
    """

    P: Array
    weights: Array
    W: list[Array]
    b: list[Array]
    scale: Array | None = None

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """All arrays under the names they are saved by."""
        yield "P", self.P
        for m, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            yield f"W{m}", W
            yield f"b{m}", b
        if self.scale is not None:
            yield "scale", self.scale


def initial_parameters(
    backend: Backend,
    n_users: int,
    widths: Sequence[int],
    K: int,
    seed: int,
    dtype: DTypeLike = np.float32,
    *,
    scaled: bool = False,
    first_user: int = 0,
) -> Parameters:
    """P ~ N(0, .1^2); W^m and b^m uniform within 1/sqrt(D_m); g at `START_SCALE`, where `scaled`.

    P has the rows of `n_users` users from `first_user` on, the same whichever other rows there are.
    """
    params = blank_parameters(backend, n_users, widths, K, dtype, scaled=scaled)
    if params.scale is not None:
        params.scale[...] = START_SCALE
    for start, drawn in _user_rows(seed, first_user, n_users, K):
        part = params.P[start : start + len(drawn)]
        part[...] = backend.asarray(drawn * np.float32(USER_DEVIATION), dtype)
    for m, width in enumerate(widths):
        rng = generator(seed, "init-extractor", m)
        bound = 1 / float(np.sqrt(width))
        params.W[m][...] = backend.asarray(rng.uniform(-bound, bound, (width, K)), dtype)
        params.b[m][...] = backend.asarray(rng.uniform(-bound, bound, K), dtype)
    return params


def _user_rows(seed: int, first_user: int, n_users: int, K: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Standard normal rows of P in pieces: where each begins, and its rows. A block's draws begin at its first row."""
    stop = first_user + n_users
    for block in range(first_user // USER_BLOCK, -(-stop // USER_BLOCK)):
        begin = block * USER_BLOCK
        low, high = max(first_user, begin), min(stop, begin + USER_BLOCK)
        drawn = generator(seed, "init-users", block).standard_normal((high - begin, K), np.float32)
        yield low - first_user, drawn[low - begin :]


def blank_parameters(
    backend: Backend,
    n_users: int,
    widths: Sequence[int],
    K: int,
    dtype: DTypeLike = np.float32,
    *,
    scaled: bool = False,
) -> Parameters:
    """Parameters of these sizes whose numbers are not set; with a scale where `scaled`."""
    weights = backend.zeros(weights_size(widths, K) + scaled * ALIGNED, dtype)
    scale = scale_view(weights) if scaled else None
    return Parameters(backend.empty((n_users, K), dtype), weights, *weight_views(weights, widths, K), scale)


def weights_size(widths: Sequence[int], K: int) -> int:
    """Length of the vector that holds all W and b, each rounded up so that the next one starts aligned."""
    return sum(_rounded(width * K) + _rounded(K) for width in widths)


def scale_view(weights: Array) -> Array:
    """The scale (1), which comes last, as a view of a vector that has one."""
    return weights[-ALIGNED : 1 - ALIGNED]


def weight_views(weights: Array, widths: Sequence[int], K: int) -> tuple[list[Array], list[Array]]:
    """Every W^m (D_m, K) and b^m (K) as views of `weights`."""
    W, b, start = [], [], 0
    for width in widths:
        W.append(weights[start : start + width * K].reshape(width, K))
        start += _rounded(width * K)
        b.append(weights[start : start + K])
        start += _rounded(K)
    return W, b


def _rounded(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
