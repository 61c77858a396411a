"""What every gather program offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class Gather(ABC):
    """`gather()` copies the distinct items' rows of the first batch into `out`, float32 (n, D_m) per modality.

    half : features are stored as float16 and widened on the way
    """

    def __init__(self, problem, half: bool = False) -> None:
        self.x = [rows.astype(np.float16) if half else rows for rows in problem.x]
        self.rows = np.unique(np.concatenate(problem.batch(0)[1:3]))
        self.out = [np.empty((len(self.rows), x.shape[1]), np.float32) for x in self.x]

    @abstractmethod
    def gather(self) -> None:
        """Fill `out`."""

    def result(self) -> list[np.ndarray]:
        """The rows."""
        return self.out
