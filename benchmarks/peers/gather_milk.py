"""Rows of a feature table into a buffer, by this project's kernel."""

from __future__ import annotations

from milk_np.data import FeatureTable
from milk_np.kernels.cpu import gather
from peers.gathering import Gather


class Program(Gather):
    """Scaled, imputed and widened on the way, which the others don't do."""

    def __init__(self, problem, half: bool = False) -> None:
        super().__init__(problem, half)
        self.tables = [FeatureTable.complete(x) for x in self.x]

    def gather(self) -> None:
        for table, out in zip(self.tables, self.out, strict=True):
            gather(table.raw, table.fill, table.source, table.scale, self.rows, out)
