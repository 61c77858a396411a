"""New items in a file of feature rows: an `.npz`, a folder of `.npy` files, or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.rejects import Place
from milk_np.data.storage import naming
from milk_np.errors import DataError
from milk_np.files import load_arrays
from milk_np.serving.identity import texts
from milk_np.text import nearest

_IDS = "item_ids"


@dataclass(frozen=True, eq=False)
class NewItems:
    """n items of a file.

    Attributes
    ----------
    file : its name
    ids : n texts, or None if the file has none
    features : raw rows (n, D_m) by modality
    owned : (n, M) bool
        Which item has which modality.
    row : (n,) their rows in the file, from 1
    """

    file: str
    ids: list[str] | None
    features: dict[str, NDArray[Any]]
    owned: NDArray[np.bool_]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owned)

    @property
    def names(self) -> NDArray[Any]:
        """Their ids, or their numbers from 0 in the file if it has none."""
        return self.row - 1 if self.ids is None else np.array(self.ids, np.str_)

    def place(self, n: int) -> Place:
        """Where the n-th stands."""
        return Place(self.file, int(self.row[n]))

    def only(self, kept: NDArray[np.bool_]) -> NewItems:
        """The items `kept` (n,)."""
        ids = None if self.ids is None else [name for name, keep in zip(self.ids, kept.tolist(), strict=True) if keep]
        features = {name: rows[kept] for name, rows in self.features.items()}
        return NewItems(self.file, ids, features, self.owned[kept], self.row[kept])

    def unfit(self, modalities: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        """Items that can't be encoded, with the reason: they have no modality, or a row with some NaN or infinity."""
        for n in np.flatnonzero(~self.owned.any(axis=1)).tolist():
            yield n, f"item {str(self.names[n])!r} has none of {', '.join(modalities)}"
        for name, rows in self.features.items():
            own = self.owned[:, modalities.index(name)]
            if rows.dtype.kind == "f" and rows.ndim == 2:
                for n in np.flatnonzero(own & ~np.isfinite(rows).all(axis=1)).tolist():
                    yield n, f"item {str(self.names[n])!r}: its row of {name} holds NaN or infinite values"


def read_new_items(path: str, modalities: tuple[str, ...]) -> NewItems:
    """The items of a file. Raises DataError for arrays or columns that don't belong to the `modalities`."""
    given = Path(path)
    features, ids = _read(given, modalities)
    for name in features:
        if name not in modalities:
            raise DataError(
                f"{path}: array {name!r} is not a modality; the model has {', '.join(modalities)}"
                + nearest(name, modalities)
            )
    rows = {name: np.atleast_2d(array) for name, array in features.items()}
    owned = _owned(path, rows, modalities)
    if ids is not None and np.shape(ids) != (len(owned),):
        raise DataError(f"{path}: expected {len(owned)} {_IDS}, one per item, got shape {np.shape(ids)}")
    with naming(given):
        names = None if ids is None else texts(ids, "item")
    return NewItems(path, names, rows, owned, np.arange(1, len(owned) + 1))


_Read = tuple[dict[str, NDArray[Any]], NDArray[Any] | None]
"""Arrays by name, and ids."""


def _read(path: Path, modalities: tuple[str, ...]) -> _Read:
    if path.suffix == ".parquet" or (path.is_dir() and not any(path.glob("*.npy"))):
        return _parquet(path, modalities)
    if path.is_dir():
        return _folder(path)
    arrays = load_arrays(path)
    return arrays, arrays.pop(_IDS, None)


def _folder(path: Path) -> _Read:
    """A folder with one `.npy` per modality, and ids in item_ids.npy or item_ids.txt."""
    from milk_np.data.importers.columns import read_id_file
    from milk_np.data.storage import read_npy

    with naming(path):
        arrays = {file.stem: read_npy(file) for file in sorted(path.glob("*.npy")) if file.stem != _IDS}
    ids = next((file for ending in ("npy", "txt") if (file := path / f"{_IDS}.{ending}").exists()), None)
    return arrays, None if ids is None else read_id_file(ids)


def _parquet(path: Path, modalities: tuple[str, ...]) -> _Read:
    """A column of ids, and one of lists per modality, empty where an item lacks it; others are ignored."""
    from milk_np.data.importers.arrow import ArrowTable, read_ids
    from milk_np.data.importers.arrow_vectors import vectors_of
    from milk_np.data.importers.vectors import ID_NAMES

    if not path.exists():
        raise DataError(f"{path}: no such file")
    table = ArrowTable.of_path(path)
    shown = ", ".join(table.names)
    column = next((name for name in (*ID_NAMES, _IDS) if name in table.names), None)
    if column is None:
        raise DataError(f"{path}: expected ids in a column named item, got {shown}")
    there = [name for name in modalities if name in table.names]
    if not there:
        raise DataError(f"{path}: expected columns of lists named {' or '.join(modalities)}, got {shown}")
    features = {name: np.concatenate([*vectors_of(table, name, column, name).blocks()]) for name in there}
    return features, read_ids(table, column).values()


def _owned(path: str, rows: dict[str, NDArray[Any]], modalities: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which item has which modality (n, M): there is an array, and the item's row isn't all NaN."""
    for name, array in rows.items():
        if array.ndim != 2:
            raise DataError(f"{path}: array {name!r}: expected shape (items, width), got {array.shape}")
    counts = {name: len(array) for name, array in rows.items()}
    if len(set(counts.values())) != 1:
        text = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no array"
        raise DataError(f"{path}: expected one row per item in each modality's array, got {text}")
    owned = np.zeros((next(iter(counts.values())), len(modalities)), np.bool_)
    for name, array in rows.items():
        if array.dtype.kind == "f":
            owned[:, modalities.index(name)] = ~np.isnan(array).all(axis=1)
        else:
            owned[:, modalities.index(name)] = True
    return owned
