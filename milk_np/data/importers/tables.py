"""Importers: tables with files of features, a folder of both, and existing data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.importers.assemble import Raw, assemble
from milk_np.data.importers.by_id import data_set
from milk_np.data.importers.feature_files import READERS, read_vectors
from milk_np.data.importers.formats import TABLE_SUFFIXES
from milk_np.data.importers.layout import separator_of
from milk_np.data.importers.log import Columns, read_log
from milk_np.data.importers.preparation import Preparation
from milk_np.data.storage import naming
from milk_np.errors import DataError, SettingsError

StrPath = str | PathLike[str]


def from_tables(
    interactions: StrPath,
    features: Mapping[str, StrPath],
    how: Preparation | None = None,
    *,
    user_col: str = "user",
    item_col: str = "item",
    split_col: str | None = None,
    time_col: str | None = None,
    rating_col: str | None = None,
    separator: str | None = None,
    item_ids: StrPath | None = None,
    ids: Mapping[str, StrPath] | None = None,
) -> Dataset:
    """Data set from a table of interactions and a file of features for each modality.

    Parameters
    ----------
    interactions : CSV or another text table (plain or .gz), Parquet, or a folder of Parquet parts
        Other columns are ignored. User ids may be anything; they are kept as `user_ids`.
    features : for each modality name `.npy` (I, D_m), `.npz` or Parquet
        Files with ids have items of their own; an item that is absent lacks the modality. Row i of an `.npy` without
        ids belongs to item i. `FILE:COLUMN` names one of several columns or arrays of vectors.
    how : Preparation, optional
    user_col, item_col : str
        Names of the columns, or numbers from 1 where the table has no header. Ids of features are in `item_col`, too.
    split_col : str, optional
        A column of train, valid and test (or 0, 1, 2) that gives the split of new items.
    time_col, rating_col : str, optional
    separator : str, optional
        What separates columns; found out by default.
    item_ids : text file or .npy, optional
        Id of each row of the `.npy` features; needed unless the item ids are the row numbers.
    ids : for a modality the same, for its rows alone

    Raises
    ------
    DataError, ModalityError, MissingExtraError
    """
    path, how = Path(interactions), how or Preparation()
    columns = Columns(user_col, item_col, split_col, time_col, rating_col)
    _check_names(features, ids)
    own = {name: Path(file) for name, file in (ids or {}).items()}
    common = None if item_ids is None else Path(item_ids)
    vectors = {name: read_vectors(file, name, item_col, own.get(name), common) for name, file in features.items()}
    meta = {"name": plain_name(path), "made": "tables", "source": path.name}
    with naming(path):
        return data_set(read_log(path, columns, separator_of(separator)), vectors, how, meta)


def _check_names(features: Mapping[str, StrPath], ids: Mapping[str, StrPath] | None) -> None:
    unknown = [name for name in ids or {} if name not in features]
    if unknown:
        raise SettingsError(f"--ids: expected a modality among {', '.join(features) or 'none'}, got {unknown[0]}")


def from_folder(
    folder: StrPath,
    how: Preparation | None = None,
    *,
    user_col: str = "user",
    item_col: str = "item",
    split_col: str | None = None,
    time_col: str | None = None,
    rating_col: str | None = None,
    separator: str | None = None,
) -> Dataset:
    """Data set from a folder that holds `interactions.csv` (or another table) and `MODALITY.npy`, `.npz` or `.parquet`.

    A file `item_ids.txt` or `item_ids.npy` gives the ids of the rows of `.npy` files.
    """
    folder = Path(folder)
    table = find_table(folder)
    names = ((folder / f"item_ids{end}") for end in (".txt", ".npy"))
    ids = next((path for path in names if path.exists()), None)
    files = [path for end in READERS for path in sorted(folder.glob(f"*{end}"))]
    features = {path.stem: path for path in files if path not in (ids, table)}
    name = (how or Preparation()).name or folder.resolve().name
    columns = {"user_col": user_col, "item_col": item_col, "split_col": split_col}
    others = {"time_col": time_col, "rating_col": rating_col, "separator": separator}
    how = replace(how or Preparation(), name=name)
    return from_tables(table, features, how, **columns, **others, item_ids=ids)  # type: ignore[arg-type]


def from_dataset(path: StrPath, how: Preparation | None = None) -> Dataset:
    """An existing data set, changed: fewer modalities, half precision, another k-core or choice of new items.

    The split and the missing modalities are kept, unless `how` has a k-core or a share of new items:
    then a mask drawn by a protocol is dropped.
    """
    ds = Dataset.load(path)
    meta = {k: v for k, v in ds.meta.items() if k not in ("content_hash", "n_users")}
    available: NDArray[np.bool_] | None = ds.available
    how = how or Preparation()
    notes: list[str] = []
    if (how.new_items is not None or how.k_core) and "protocol" in meta:
        notes.append(f"the mask of {meta['protocol']} was dropped with the split: draw a new one with --protocol")
        available = None if not meta.get("natural_missing") else available
        meta = {k: v for k, v in meta.items() if k != "protocol" and not k.startswith("missing_")}
    raw = Raw(
        user=ds.user.astype(np.int64),
        item=ds.item.astype(np.int64),
        features=ds.features,
        item_split=ds.item_split,
        item_ids=ds.item_ids,
        user_ids=ds.user_ids,
        user_count=ds.n_users,
        available=available,
        meta=meta,
        notes=notes,
    )
    with naming(Path(path)):
        return assemble(raw, how)


def find_table(folder: Path) -> Path:
    """The table of interactions of a folder."""
    found = [folder / f"interactions{end}" for end in TABLE_SUFFIXES if (folder / f"interactions{end}").exists()]
    if not found:
        raise DataError(f"{folder}: expected interactions.csv (or {', '.join(TABLE_SUFFIXES[1:])}), found none")
    if len(found) > 1:
        raise DataError(f"{folder}: expected one table of interactions, got {', '.join(p.name for p in found)}")
    return found[0]


def plain_name(path: Path) -> str:
    """File name without its suffixes."""
    return path.name.split(".")[0] or path.name
