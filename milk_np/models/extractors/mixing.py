"""How the margins of the modalities are mixed: in E environments, each of them weights on the M modalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Mixing(Protocol):
    """The environments of a run."""

    @property
    def count(self) -> int:
        """Number E of environments."""

    def draw(self, epoch: int, steps: int) -> NDArray[np.floating[Any]]:
        """Weights theta (steps, E, M) of every step of an epoch; each row is a point of the simplex."""


@dataclass(frozen=True)
class EqualMixing:
    """One environment, in which the M modalities have equal weights."""

    M: int
    count: int = 1

    def draw(self, epoch: int, steps: int) -> NDArray[np.float64]:
        """1 / M everywhere."""
        return np.full((steps, 1, self.M), 1 / self.M)
