"""Data frames: whatever gives an Arrow stream (pandas, polars, pyarrow, DuckDB, ...), and dicts of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from milk_np.data.dataset import Dataset
from milk_np.data.importers.arrow import ArrowTable, read_ids
from milk_np.data.importers.arrow_vectors import vectors_of
from milk_np.data.importers.by_id import data_set
from milk_np.data.importers.coded import Column
from milk_np.data.importers.log import Columns, Log, arrow_log, column_of, mapping_log
from milk_np.data.importers.preparation import Preparation
from milk_np.data.importers.vectors import Vectors, id_column, of_mapping
from milk_np.errors import DataError

_STREAM = "__arrow_c_stream__"


def from_frames(
    interactions: Any,
    features: Mapping[str, Any],
    how: Preparation | None = None,
    *,
    items: Any = None,
    user: str = "user",
    item: str = "item",
    split: str | None = None,
    time: str | None = None,
    rating: str | None = None,
) -> Dataset:
    """See `Dataset.from_frames`."""
    how = how or Preparation()
    log = _log(interactions, Columns(user, item, split, time, rating))
    vectors = {name: _vectors(frame, name, item) for name, frame in features.items()}
    catalogue = np.zeros(0, np.int64) if items is None else _ids(items, item)
    meta = {"name": how.name or "frames", "made": "frames"}
    return data_set(log, vectors, replace(how, name=None), meta, catalogue)


def _log(frame: Any, columns: Columns) -> Log:
    where = "interactions"
    if hasattr(frame, _STREAM):
        log = arrow_log(ArrowTable.of_frame(frame, where), columns)
    elif isinstance(frame, Mapping):
        log = mapping_log(frame, columns, where)
    else:
        raise _unfit(where, frame)
    if not len(log):
        raise DataError(f"{where}: expected pairs, got none")
    return log


def _vectors(frame: Any, name: str, item: str) -> Vectors:
    where = f"features of {name}"
    if hasattr(frame, _STREAM):
        return vectors_of(ArrowTable.of_frame(frame, where), name, item)
    if isinstance(frame, Mapping):
        ids = id_column(list(frame), item, where)
        return of_mapping({**frame, ids: _ids(frame[ids], item)}, name, where, item, None)
    if isinstance(frame, tuple) and len(frame) == 2:
        return Vectors.of_array(np.asarray(frame[1]), where, _ids(frame[0], item))
    raise _unfit(where, frame)


def _ids(given: Any, item: str) -> Column:
    """Ids of a frame's column, of an array or of a list, in their order."""
    if hasattr(given, _STREAM) and hasattr(given, "columns"):
        table = ArrowTable.of_frame(given, "items")
        return read_ids(table, id_column(table.names, item, "items")).values()
    if isinstance(given, Mapping):
        given = given[id_column(list(given), item, "items")]
    column: Column = column_of(given, "item ids").values()
    return column


def _unfit(where: str, frame: Any) -> DataError:
    return DataError(
        f"{where}: expected a data frame with {_STREAM} (pandas, polars, pyarrow, DuckDB) or a dict of arrays, got "
        f"{type(frame).__name__}"
    )
