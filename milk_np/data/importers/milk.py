"""The folder of the authors' program: train.txt, val.txt, test.txt, *_feat.npy, cold_item_index.npy."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.importers.assemble import Raw, assemble
from milk_np.data.importers.feature_files import load_features
from milk_np.data.importers.preparation import Preparation
from milk_np.data.rows import FeatureArray
from milk_np.data.storage import naming, read_npy
from milk_np.data.validation import some
from milk_np.errors import DataError, ModalityError

_MASKS = ("warm_missing_item_index.npy", "cold_missing_item_index.npy")


def from_milk_folder(folder: str | PathLike[str], how: Preparation | None = None) -> Dataset:
    """Data set from the authors' folder; its split of new items is kept.

    Items of `val.txt` are validation items, those of `test.txt` test items, and further items of
    `cold_item_index.npy` are test items without pairs. Files with imputed features
    (`*_feat_missing_*.npy`) and the lists of missing items are ignored, with a note: masks are drawn by a protocol.

    Raises
    ------
    DataError, ModalityError
        If a file is missing or damaged, an item is in two splits, or a new item isn't in the cold index.
    """
    folder = Path(folder)
    with naming(folder):
        pairs = [read_lists(folder / name) for name in ("train.txt", _valid_name(folder), "test.txt")]
        user, item = (np.concatenate(part) for part in zip(*pairs, strict=True))
        features = feature_files(folder)
        n_items = max([int(item.max(initial=-1)) + 1, *(len(rows) for rows in features.values())])
        item_split = _item_split(folder, [part[1] for part in pairs], n_items)
        meta = {"name": folder.resolve().name, "made": "milk folder", "source": folder.name}
        raw = Raw(user, item, features, item_split, meta=meta, notes=_notes(folder))
        return assemble(raw, how or Preparation())


def read_lists(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users and items of lines `user item item ...`."""
    if not path.is_file():
        raise DataError(f"no file {path.name}; expected lines 'user item item ...'")
    users: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                values = np.array([int(word) for word in line.split()], dtype=np.int64)
            except (ValueError, OverflowError) as error:
                raise DataError(f"{path.name}: line {number}: expected integers, got {line[:40]!r}") from error
            if len(values) > 1:
                users.append(np.full(len(values) - 1, values[0]))
                items.append(values[1:])
    if not users:
        raise DataError(f"{path.name}: expected lines 'user item item ...', got none")
    return np.concatenate(users), np.concatenate(items)


def feature_files(folder: Path) -> dict[str, FeatureArray]:
    """Features by modality from `MODALITY_feat.npy`."""
    found = {p.stem.removesuffix("_feat"): p for p in sorted(folder.glob("*_feat.npy"))}
    if not found:
        raise ModalityError("no file *_feat.npy; expected one for each modality, such as image_feat.npy")
    return {name: load_features(path, name) for name, path in found.items()}


def _valid_name(folder: Path) -> str:
    return "valid.txt" if (folder / "valid.txt").exists() and not (folder / "val.txt").exists() else "val.txt"


def _item_split(folder: Path, items: list[NDArray[np.int64]], n_items: int) -> NDArray[np.uint8]:
    if min(int(part.min()) for part in items) < 0:
        raise DataError("item: expected ids from 0, got a negative one")
    both = np.intersect1d(items[1], items[2])
    if len(both):
        raise DataError(f"{len(both)} items are in val.txt and test.txt (first {some(both)}); expected one split each")
    item_split = np.zeros(n_items, dtype=np.uint8)
    cold = _cold_items(folder, n_items)
    if cold is not None:
        outside = np.setdiff1d(np.concatenate(items[1:]), cold)
        if len(outside):
            raise DataError(
                f"{len(outside)} items of val.txt and test.txt aren't in cold_item_index.npy "
                f"(first {some(outside)}); expected new items only"
            )
        item_split[cold] = 2
    item_split[items[2]] = 2
    item_split[items[1]] = 1
    leaked = np.unique(items[0][item_split[items[0]] > 0])
    if len(leaked):
        raise DataError(f"{len(leaked)} new items are in train.txt (first {some(leaked)}); expected none of them there")
    return item_split


def _cold_items(folder: Path, n_items: int) -> NDArray[np.int64] | None:
    path = folder / "cold_item_index.npy"
    if not path.exists():
        return None
    cold = read_npy(path)
    if cold.ndim != 1 or cold.dtype.kind not in "iu" or (len(cold) and not 0 <= cold.min() <= cold.max() < n_items):
        raise DataError(
            f"cold_item_index.npy: expected a 1-D array of item ids below {n_items}, "
            f"got {cold.dtype} of shape {cold.shape}"
        )
    items: NDArray[np.int64] = cold.astype(np.int64)
    return items


def _notes(folder: Path) -> list[str]:
    notes = []
    ignored = [name for name in _MASKS if (folder / name).exists()]
    ignored += sorted(p.name for p in folder.glob("*_feat_missing_*.npy"))
    if ignored:
        notes.append(f"ignored {', '.join(ignored)}: draw masks with --protocol")
    return notes
