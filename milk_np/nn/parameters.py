"""Parameters of MILK and of its gradients: user table P, and a weight W and bias b for each modality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from milk_np.backend import Array, Backend
from milk_np.rng import generator

USER_DEVIATION = 0.1


@dataclass
class Parameters:
    """P (U, K), W^m (D_m, K), b^m (K)."""

    P: Array
    W: list[Array]
    b: list[Array]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """All arrays under the names they are saved by."""
        yield "P", self.P
        for m, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            yield f"W{m}", W
            yield f"b{m}", b


def initial_parameters(
    backend: Backend, n_users: int, widths: Sequence[int], K: int, seed: int, dtype: DTypeLike = np.float32
) -> Parameters:
    """P ~ N(0, .1^2); W^m and b^m uniform within 1/sqrt(D_m)."""
    P = generator(seed, "init-users").standard_normal((n_users, K), np.float32) * np.float32(USER_DEVIATION)
    W, b = [], []
    for m, width in enumerate(widths):
        rng = generator(seed, "init-extractor", m)
        bound = 1 / float(np.sqrt(width))
        W.append(_aligned(backend, rng.uniform(-bound, bound, (width, K)), dtype))
        b.append(_aligned(backend, rng.uniform(-bound, bound, K), dtype))
    return Parameters(_aligned(backend, P, dtype), W, b)


def _aligned(backend: Backend, values: np.ndarray, dtype: DTypeLike) -> Array:  # type: ignore[type-arg]
    return backend.copy(backend.asarray(values, dtype))
