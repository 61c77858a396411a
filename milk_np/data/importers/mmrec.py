"""The folder of MMRec: `NAME.inter` (TSV with userID, itemID, x_label) and `MODALITY_feat.npy`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.importers.assemble import Raw, assemble
from milk_np.data.importers.coded import Column, row_numbers
from milk_np.data.importers.columns import read_columns
from milk_np.data.importers.milk import feature_files
from milk_np.data.importers.preparation import Preparation
from milk_np.data.rows import FeatureArray
from milk_np.data.split import split_from_labels
from milk_np.data.storage import naming
from milk_np.errors import DataError

USER_COLUMNS = ("userID", "user_id", "user")
ITEM_COLUMNS = ("itemID", "item_id", "item")
LABEL_COLUMN = "x_label"


def from_mmrec_folder(folder: str | PathLike[str], how: Preparation | None = None) -> Dataset:
    """Data set from a folder of MMRec.

    `x_label` (0 train, 1 valid, 2 test) usually splits each user's pairs, so that every item has some in
    training. New items are then drawn, with a note; labels that split by item are kept.

    Raises
    ------
    DataError, ModalityError
        If there isn't exactly one `.inter` file, or a column or the features are missing.
    """
    folder = Path(folder)
    with naming(folder):
        path = find_inter(folder)
        features = feature_files(folder)
        user, item, label = _columns(path)
        rows = row_numbers(item, path.name)
        item_split, notes = _split(rows, label, features)
        meta = {"name": path.stem, "made": "mmrec folder", "source": path.name}
        return assemble(Raw(user, rows, features, item_split, meta=meta, notes=notes), how or Preparation())


def find_inter(folder: Path) -> Path:
    """The `.inter` file of the folder."""
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DataError(f"expected one file NAME.inter, got {names}")
    return found[0]


def _columns(path: Path) -> tuple[Column, Column, Column | None]:
    columns = read_columns(path, [], optional=[*USER_COLUMNS, *ITEM_COLUMNS, LABEL_COLUMN])
    return _first(columns, USER_COLUMNS, path), _first(columns, ITEM_COLUMNS, path), columns.get(LABEL_COLUMN)


def _first(columns: dict[str, Column], names: tuple[str, ...], path: Path) -> Column:
    for name in names:
        if name in columns:
            return columns[name]
    raise DataError(f"{path.name}: expected a column {names[0]} in the header, got {', '.join(columns) or 'none'}")


def _split(
    item: NDArray[np.int64], label: Column | None, features: dict[str, FeatureArray]
) -> tuple[NDArray[np.uint8] | None, list[str]]:
    """Split of new items from the labels, if they give one, and notes."""
    if label is None:
        return None, []
    if label.dtype.kind != "i" or not np.isin(label, (0, 1, 2)).all():
        raise DataError(
            f"{LABEL_COLUMN}: expected 0 (train), 1 (valid) or 2 (test), got {np.unique(label)[:5].tolist()}"
        )
    n_items = max([int(item.max(initial=0)) + 1, *(len(rows) for rows in features.values())])
    given = split_from_labels(item, label.astype(np.int64), n_items) if label.any() else None
    if given is not None:
        return given, []
    return None, [f"{LABEL_COLUMN} splits each user's pairs, so it was ignored and new items were drawn"]
