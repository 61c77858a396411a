"""Importers: tables with `.npy` features, a folder of both, and existing data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.importers.assemble import Preparation, Raw, assemble
from milk_np.data.importers.columns import Column, read_columns, read_ids
from milk_np.data.importers.formats import TABLE_SUFFIXES
from milk_np.data.importers.numbering import rows_of
from milk_np.data.rows import FeatureArray
from milk_np.data.split import split_from_labels
from milk_np.data.storage import naming, read_npy
from milk_np.errors import DataError, ModalityError

StrPath = str | PathLike[str]
_LABELS = {"train": 0, "valid": 1, "val": 1, "validation": 1, "test": 2, "0": 0, "1": 1, "2": 2}


def from_tables(
    interactions: StrPath,
    features: Mapping[str, StrPath],
    how: Preparation | None = None,
    *,
    user_col: str = "user",
    item_col: str = "item",
    split_col: str | None = None,
    item_ids: StrPath | None = None,
) -> Dataset:
    """Data set from a table of interactions and one `.npy` of features per modality.

    Parameters
    ----------
    interactions : CSV or TSV (plain or .gz) with a header, or Parquet
        Other columns are ignored. User ids may be anything; they are kept as `user_ids`.
    features : for each modality name a `.npy` (I, D_m)
        Row i belongs to item i, or to line i of `item_ids`.
    how : Preparation, optional
    user_col, item_col : str
        Names of the columns.
    split_col : str, optional
        A column of train, valid and test (or 0, 1, 2) that gives the split of new items.
    item_ids : text file or .npy, optional
        Id of each feature row; needed unless the item ids are the row numbers.

    Raises
    ------
    DataError, ModalityError, MissingExtraError
    """
    path = Path(interactions)
    wanted = [user_col, item_col] + ([] if split_col is None else [split_col])
    columns = read_columns(path, wanted)
    ids = None if item_ids is None else read_ids(Path(item_ids))
    item = rows_of(columns[item_col], ids, path)
    loaded = {name: load_features(Path(file), name) for name, file in features.items()}
    _check_ids(ids, loaded)
    item_split = None if split_col is None else _given_split(columns[split_col], item, loaded, path, split_col)
    meta = {"name": plain_name(path), "made": "tables", "source": path.name}
    raw = Raw(columns[user_col], item, loaded, item_split, ids, meta=meta)
    with naming(path):
        return assemble(raw, how or Preparation())


def from_folder(
    folder: StrPath,
    how: Preparation | None = None,
    *,
    user_col: str = "user",
    item_col: str = "item",
    split_col: str | None = None,
) -> Dataset:
    """Data set from a folder that holds `interactions.csv` (or another table) and one `MODALITY.npy` each.

    A file `item_ids.txt` or `item_ids.npy` gives the ids of the feature rows.
    """
    folder = Path(folder)
    table = find_table(folder)
    ids = next((p for p in (folder / "item_ids.txt", folder / "item_ids.npy") if p.exists()), None)
    features = {p.stem: p for p in sorted(folder.glob("*.npy")) if p.stem != "item_ids"}
    name = (how or Preparation()).name or folder.resolve().name
    how = _named(how, name)
    return from_tables(table, features, how, user_col=user_col, item_col=item_col, split_col=split_col, item_ids=ids)


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


def load_features(path: Path, name: str) -> FeatureArray:
    """One modality's `.npy`, memory-mapped."""
    try:
        array = read_npy(path, mmap=True)
    except DataError as error:
        raise ModalityError(f"{path}: features of {name}: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ModalityError(
            f"{path}: features of {name}: expected a 2-D array of floats (items x width), "
            f"got {array.dtype} of shape {array.shape}"
        )
    rows: FeatureArray = array
    return rows


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


def _named(how: Preparation | None, name: str) -> Preparation:
    return replace(how or Preparation(), name=name)


def _check_ids(ids: NDArray[np.str_] | None, features: dict[str, FeatureArray]) -> None:
    for name, rows in features.items():
        if ids is not None and len(ids) != len(rows):
            raise ModalityError(
                f"feature_{name}: expected {len(ids)} rows, one for each item id, got {len(rows)}; "
                "the ids must be in the order of the rows"
            )


def _given_split(
    labels: Column, item: NDArray[np.int64], features: dict[str, FeatureArray], path: Path, name: str
) -> NDArray[np.uint8]:
    words = np.char.lower(labels.astype(np.str_))
    unknown = np.setdiff1d(words, list(_LABELS))
    if len(unknown):
        raise DataError(
            f"{path}: column {name!r}: expected train, valid and test (or 0, 1, 2), got {str(unknown[0])!r}"
        )
    label = np.zeros(len(words), dtype=np.int64)
    for word, value in _LABELS.items():
        label[words == word] = value
    n_items = max([int(item.max()) + 1, *(len(rows) for rows in features.values())])
    item_split = split_from_labels(item, label, n_items)
    if item_split is None:
        raise DataError(
            f"{path}: column {name!r} isn't a split of new items: expected all pairs of an item in one split "
            "and some items in valid or test; leave out --split-col to draw new items"
        )
    return item_split
