"""Ranks over MPI (mpi4py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from milk_np.ranks.group import Ranks, row_blocks_of
from milk_np.ranks.library import cuda_aware

T = TypeVar("T")
_TAG = 7


class MpiRanks(Ranks):
    """The processes of an MPI communicator, `MPI.COMM_WORLD` by default."""

    def __init__(self, communicator: Any = None) -> None:
        """Initialises MPI if nobody has."""
        from mpi4py import MPI

        self._mpi = MPI
        self.communicator = MPI.COMM_WORLD.Dup() if communicator is None else communicator
        self.rank, self.size = self.communicator.rank, self.communicator.size
        self.takes_device = cuda_aware(MPI)

    def all_rows(self, table: Any, bounds: NDArray[np.int64]) -> None:
        """One collective, in place, in bytes."""
        if self.size == 1:
            return
        row = table.nbytes // max(1, len(table))
        counts = np.diff(bounds) * row
        target = [table.reshape(-1).view(np.uint8), counts.tolist(), (bounds[:-1] * row).tolist(), self._mpi.BYTE]
        self.communicator.Allgatherv(self._mpi.IN_PLACE, target)

    def all_values(self, value: T) -> list[T]:
        """Pickled by mpi4py, among processes of one job."""
        values: list[T] = self.communicator.allgather(value)
        return values

    def first_values(self, value: T) -> list[T]:
        """Pickled by mpi4py."""
        return self.communicator.gather(value) or []

    def from_first(self, value: T | None) -> T:
        """Pickled by mpi4py."""
        given: T = self.communicator.bcast(value)
        return given

    def any(self, flag: bool) -> bool:
        """The largest of the flags."""
        return bool(self.communicator.allreduce(int(flag), op=self._mpi.MAX))

    def rows_to_first(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Block by block, rank by rank."""
        blocks = list(row_blocks_of(rows))
        if not self.first:
            self.communicator.send(len(blocks), 0, _TAG)
            for block in blocks:
                self.communicator.send(block, 0, _TAG)
            return
        yield from blocks
        for rank in range(1, self.size):
            for _ in range(self.communicator.recv(source=rank, tag=_TAG)):
                yield self.communicator.recv(source=rank, tag=_TAG)
