"""Vectors in Arrow tables: a column of lists, or one column a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.arrow import ArrowTable, pyarrow, read_ids
from milk_np.data.importers.vectors import Vectors, choose, id_column
from milk_np.data.rows import FeatureArray
from milk_np.errors import ModalityError


def vectors_of(table: ArrowTable, name: str, id_name: str, column: str | None = None) -> Vectors:
    """Vectors of a modality, by the ids in `id_name`; `column` where there are several of lists."""
    types = pyarrow(table.where).types
    ids = id_column(table.names, id_name, table.where)
    lists = [each for each in table.names if _is_list(types, table.kind(each))]
    numbers = [each for each in table.names if each != ids and _is_number(types, table.kind(each))]
    if column is not None and column not in table.names:
        raise ModalityError(f"{table.where}: expected a column {column!r}, got {', '.join(table.names)}")
    if column is not None or lists or not numbers:
        chosen = column or choose(name, lists, table.where)
        if chosen not in lists:
            raise ModalityError(
                f"{table.where}: expected lists of numbers in column {chosen!r}, got {table.kind(chosen)}"
            )
        blocks = _ListBlocks(table, chosen)
        return Vectors(table.where, read_ids(table, ids).values(), table.n, blocks)
    return Vectors(table.where, read_ids(table, ids).values(), table.n, lambda: _number_blocks(table, numbers))


def _is_list(types: Any, kind: Any) -> bool:
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists) and _is_number(types, kind.value_type)


def _is_number(types: Any, kind: Any) -> bool:
    return bool(types.is_floating(kind) or types.is_integer(kind))


def _number_blocks(table: ArrowTable, columns: list[str]) -> Iterator[FeatureArray]:
    """Rows of one column a number; an empty cell is NaN."""
    for batch in table.batches(columns):
        parts = [_floats(batch.column(n)) for n in range(len(columns))]
        yield np.stack(parts, axis=1)


def _floats(array: Any) -> NDArray[np.floating[Any]]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values if values.dtype in (np.float16, np.float32) else values.astype(np.float32)


class _ListBlocks:
    """Rows of a column of lists, which have one length; an empty cell is a row of NaN."""

    def __init__(self, table: ArrowTable, column: str) -> None:
        self._table, self._column = table, column

    def __call__(self) -> Iterator[FeatureArray]:
        width, start, waiting = None, 0, 0
        for batch in self._table.batches([self._column]):
            array = batch.column(0)
            lengths, there = self._lengths(array)
            if width is None and there.any():
                width = int(lengths[there][0])
            if width is None:  # no vector yet whose width could be known
                waiting += len(array)
                continue
            self._check(lengths, there, width, start + waiting)
            values = _floats(array.flatten())
            rows = np.full((waiting + len(array), width), np.nan, values.dtype)
            rows[waiting:][there] = values.reshape(-1, width)
            yield rows
            start, waiting = start + len(rows), 0
        if width is None:
            raise ModalityError(f"{self._table.where}: expected vectors in column {self._column!r}, got none")
        if waiting:
            yield np.full((waiting, width), np.nan, np.float32)

    def _lengths(self, array: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        import pyarrow.compute as compute

        there = np.asarray(array.is_valid())
        return np.asarray(compute.fill_null(compute.list_value_length(array), 0)).astype(np.int64), there

    def _check(self, lengths: NDArray[np.int64], there: NDArray[np.bool_], width: int, start: int) -> None:
        odd = np.flatnonzero(there & (lengths != width))
        if len(odd) or width == 0:
            at = int(odd[0]) if len(odd) else 0
            raise ModalityError(
                f"{self._table.where}: expected vectors of one length in column {self._column!r}, got {lengths[at]} "
                f"numbers in row {start + at + 1} and {width} before; leave the cell empty where an item has none"
            )
