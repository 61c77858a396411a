"""Proof of a gradient by finite differences: hand-written gradients against the loss itself, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]
Loss = Callable[[], float]

EPS = 1e-5
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Check:
    """One comparison: the slope that the gradient claims and the one that differences show."""

    claimed: float
    measured: float
    scale: float
    eps: float
    seed: int | None

    @property
    def error(self) -> float:
        """Difference of the two, relative to the larger of them or to `scale`, below which a slope counts as zero."""
        return abs(self.claimed - self.measured) / max(abs(self.claimed), abs(self.measured), self.scale)

    def __str__(self) -> str:
        where = "one element" if self.seed is None else f"direction of seed {self.seed}"
        return (
            f"relative error {self.error:.2e}: claimed {self.claimed:.12g}, "
            f"measured {self.measured:.12g} (eps {self.eps:g}, {where})"
        )


def check_direction(loss: Loss, variables: Arrays, gradients: Arrays, *, seed: int = 0, eps: float = EPS) -> Check:
    """Central difference of `loss` along a random unit direction of all `variables`, which `loss` reads in place.

    A slope smaller than what rounding of the loss leaves uncertain is compared with that bound in its place.
    """
    rng = np.random.default_rng(seed)
    directions = [rng.standard_normal(x.shape) for x in variables]
    norm = np.sqrt(sum(float((d**2).sum()) for d in directions))
    directions = [d / norm for d in directions]
    claimed = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    noise = abs(loss()) * 4 * np.finfo(float).eps / eps
    return Check(claimed, _slope(loss, variables, directions, eps), noise / TOLERANCE, eps, seed)


def check_elements(loss: Loss, variables: Arrays, gradients: Arrays, *, eps: float = EPS) -> list[Check]:
    """The same along every single element, relative to the largest element of the gradient: for tiny shapes."""
    checks = []
    scale = max(float(np.abs(g).max(initial=0)) for g in gradients)
    for x, g in zip(variables, gradients, strict=True):
        for index in np.ndindex(x.shape):
            direction = np.zeros_like(x)
            direction[index] = 1
            checks.append(Check(float(g[index]), _slope(loss, [x], [direction], eps), scale, eps, None))
    return checks


def _slope(loss: Loss, variables: Arrays, directions: Arrays, eps: float) -> float:
    """(loss(x + eps d) - loss(x - eps d)) / 2 eps; `variables` are left as they were, to the bit."""
    saved = [x.copy() for x in variables]
    values = []
    for sign in (1, -1):
        for x, start, d in zip(variables, saved, directions, strict=True):
            x[...] = start + sign * eps * d
        values.append(loss())
    for x, start in zip(variables, saved, strict=True):
        x[...] = start
    return (values[0] - values[1]) / (2 * eps)
