"""Choosing the weights of the modalities without looking at valid items: the leave-one-out error over training items.

Each training item in turn is taken for a new one, and the column of R B that it has (what users are expected to think
of it) is predicted from the other items' columns by their content. With G = K + noise I, the error of item i is
Y G^-1 e_i / (G^-1)_ii (Wahba 1990), so that its square needs Y through Y^T Y alone.

The noise that suits the weights is found beside them, unless it is given. It is where `.by_ranking`
begins, for this error is blind to what only ranks better; the weights aren't looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from milk_np.kernels.cpu import lapack
from milk_np.kernels.cpu.tasks import side_by_side
from milk_np.models.base import Floats

NOISES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
WEIGHTS = (0.1, 0.3, 1.0)
START_NOISE = 0.3
"""One of NOISES, where the search begins."""
SWEEPS = 2


@dataclass(frozen=True)
class ContentKernel:
    """K = sum over owned modalities of weight_m exp(scale (x^m . l^m - 1)), and the noise of the regression."""

    scale: float
    noise: float
    weights: tuple[float, ...]
    """Of the modalities; their sum is 1."""
    whitening: tuple[float, ...]
    """Exponents of the modalities' whitening."""


def choose(
    cosines: Sequence[Floats], gram: Floats, start: ContentKernel, free: frozenset[str]
) -> tuple[ContentKernel, float]:
    """The kernel of least error, found one setting at a time, and its error as a share of the squares.

    `cosines` (n, n) are those of each modality's content, whitened as `start` says; `gram` (n, n) is Y^T Y; `free`
    names the settings ("noise", "weights") that may be changed from `start`.
    """
    search = _Search(_Errors(cosines, gram, start.scale))
    best = search.descend(start, _settings(free, len(cosines)))
    return best, search.error(best) / float(np.trace(gram))


@dataclass(frozen=True, eq=False)
class _Search:
    """The errors of kernels, each computed once."""

    errors: _Errors
    known: dict[ContentKernel, float] = field(default_factory=dict)

    def error(self, kernel: ContentKernel) -> float:
        """The sum over the items left out."""
        if kernel not in self.known:
            self.known[kernel] = float(self.errors.of(kernel).sum())
        return self.known[kernel]

    def descend(self, start: ContentKernel, settings: Sequence[str | int]) -> ContentKernel:
        """The kernel of least error that `settings`, changed one at a time, lead to."""
        best = start
        for _ in range(SWEEPS):
            before = best
            for setting in settings:
                for candidate in _values(best, setting):
                    if self.error(candidate) < self.error(best):
                        best = candidate
            if best == before:
                break
        return best


def _settings(free: frozenset[str], M: int) -> list[str | int]:
    """What is varied in turn: "noise", the weight of each of the `M` modalities by its number."""
    weights = list(range(M)) if "weights" in free else []
    return [*({"noise"} & free), *weights]


def _values(kernel: ContentKernel, setting: str | int) -> Iterator[ContentKernel]:
    """`kernel` with other values of one setting."""
    if setting == "noise":
        yield from (replace(kernel, noise=noise) for noise in NOISES)
    else:
        for weight in WEIGHTS:
            weights = [w / max(kernel.weights) for w in kernel.weights]
            weights[int(setting)] = weight
            yield replace(kernel, weights=normalised(weights))


def normalised(weights: Sequence[float]) -> tuple[float, ...]:
    """`weights` divided by their sum."""
    total = sum(weights)
    return tuple(float(weight / total) for weight in weights)


class _Errors:
    """Errors of kernels of one scale on the same items."""

    def __init__(self, cosines: Sequence[Floats], gram: Floats, scale: float) -> None:
        """`cosines` (n, n) of each modality; `gram` (n, n) is Y^T Y."""
        self._similar = [np.exp(scale * (x - 1)) for x in cosines]
        self._gram = gram

    def of(self, kernel: ContentKernel) -> Floats:
        """Mean of the errors with all modalities and of those with one of them missing, (n,)."""
        every = list(zip(kernel.weights, self._similar, strict=True))
        some = [every, *(combinations(every, len(every) - 1) if len(every) > 1 else ())]
        out = np.empty((len(some), len(self._gram)))

        def fill(s: int) -> None:
            out[s] = _left_out(sum(w * x for w, x in some[s]), self._gram, kernel.noise)

        side_by_side(fill, range(len(some)))
        whole: Floats = out[0]
        return (whole + out[1:].mean(axis=0)) / 2 if len(out) > 1 else whole


def _left_out(K: Floats, gram: Floats, noise: float) -> Floats:
    """Squares of the leave-one-out errors (n,) under kernel matrix `K`, which is overwritten."""
    K[np.diag_indices_from(K)] += noise
    lapack.cholesky(K)
    lapack.invert_factor(K)
    lapack.mirror(K)
    K /= np.diag(K)[:, None].copy()
    errors: Floats = np.einsum("ij,ij->i", K @ gram, K)
    return errors
