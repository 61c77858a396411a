"""The data set: interactions, the split into training and new items, raw features, what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data import storage, validation
from milk_np.data.rows import FeatureArray, row_blocks
from milk_np.errors import SettingsError

TRAIN, VALID, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions of U users with I items that have M modalities.

    Attributes
    ----------
    user, item : (n,) int32
        Distinct pairs; users and items are numbered from 0.
    split : (n,) uint8
        0 train, 1 valid, 2 test: the split of the pair's item.
    item_split : (I,) uint8
        0 training item, 1 valid new item, 2 test new item. New items have no training pair.
    modalities : M names
    features : for each name (I, D_m) float16 or float32
        Raw rows, neither imputed nor normalised; row i is item i. A memory map if the data set is a folder.
    available : (I, M) bool
        Which item owns which modality; at least one each. Rows of missing ones are never read.
    user_ids, item_ids : (U,), (I,) str, optional
        Original ids.
    meta : dict
        JSON values: `name`, how the set was made, `n_users` if users without any pair follow the last one.

    Raises
    ------
    DataError, ModalityError
        If the arrays don't fit together; see `milk_np.data.validation`.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    split: NDArray[np.uint8]
    item_split: NDArray[np.uint8]
    modalities: tuple[str, ...]
    features: dict[str, FeatureArray] = field(repr=False)
    available: NDArray[np.bool_]
    user_ids: NDArray[np.str_] | None = None
    item_ids: NDArray[np.str_] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    check_features: InitVar[bool] = True

    def __post_init__(self, check_features: bool) -> None:
        modalities = tuple(str(name) for name in self.modalities)
        self._set("user", validation.as_ids(self.user, "user"))
        self._set("item", validation.as_ids(self.item, "item"))
        self._set("split", validation.as_split(self.split, "split", len(self.user)))
        self._set("item_split", validation.as_split(self.item_split, "item_split"))
        self._set("modalities", modalities)
        self._set("features", {k: validation.as_features(v, k) for k, v in self.features.items()})
        self._set("available", validation.as_available(self.available))
        self._set("user_ids", validation.as_names(self.user_ids, "user_ids"))
        self._set("item_ids", validation.as_names(self.item_ids, "item_ids"))
        self._set("meta", dict(self.meta))
        validation.validate(self, check_features)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """Name of the data set, "unnamed" if it has none."""
        return str(self.meta.get("name", "unnamed"))

    @cached_property
    def n_users(self) -> int:
        """Number of users U, those without any pair included."""
        if self.user_ids is not None:
            return len(self.user_ids)
        return int(self.meta.get("n_users") or int(self.user.max()) + 1)

    @property
    def n_items(self) -> int:
        """Number of items I, new ones included."""
        return len(self.item_split)

    @property
    def n_modalities(self) -> int:
        """Number of modalities M."""
        return len(self.modalities)

    @property
    def train_items(self) -> NDArray[np.int32]:
        """Ids of the training items, ascending."""
        return np.flatnonzero(self.item_split == TRAIN).astype(np.int32)

    def new_items(self, split: int | None = None) -> NDArray[np.int32]:
        """Ids of the new items of a split (1 valid, 2 test), ascending; of both when `split` is None."""
        if split not in (None, VALID, TEST):
            raise SettingsError(f"split: expected 1 (valid), 2 (test) or None (both), got {split!r}")
        chosen = self.item_split > TRAIN if split is None else self.item_split == split
        return np.flatnonzero(chosen).astype(np.int32)

    def interactions(self, split: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Users and items of the pairs of a split (0, 1 or 2), sorted by user, then item."""
        if split not in (TRAIN, VALID, TEST):
            raise SettingsError(f"split: expected 0 (train), 1 (valid) or 2 (test), got {split!r}")
        chosen = self.split == split
        user, item = self.user[chosen], self.item[chosen]
        key = user.astype(np.int64) * self.n_items + item
        if (key[1:] > key[:-1]).all():  # as the importers leave them
            return user, item
        key.sort()
        user, item = np.divmod(key, self.n_items)
        return user.astype(np.int32), item.astype(np.int32)

    def csr(self, split: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Pairs of a split by user: indptr (U + 1) int64 and item ids (n) int32, ascending in each row."""
        user, item = self.interactions(split)
        indptr = np.zeros(self.n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(user, minlength=self.n_users), out=indptr[1:])
        return indptr, item

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all arrays in hexadecimal; `meta` doesn't count. Tables show its first 16 digits."""
        digest = hashlib.sha256()
        for key, array in self.arrays().items():
            digest.update(f"{key} {array.dtype.str} {array.shape};".encode())
            for block in row_blocks(len(array), array.shape[1] if array.ndim > 1 else 1):
                digest.update(np.ascontiguousarray(array[block]).data.cast("B") if array.size else b"")
        return digest.hexdigest()

    def arrays(self) -> dict[str, Any]:
        """The arrays in the order and under the names in which they are stored."""
        named: dict[str, Any] = {"user": self.user, "item": self.item, "split": self.split}
        named |= {"item_split": self.item_split, "available": self.available}
        named["modalities"] = np.array(self.modalities, dtype=np.str_)
        named |= {storage.FEATURE + name: self.features[name] for name in self.modalities}
        ids = {"user_ids": self.user_ids, "item_ids": self.item_ids}
        return named | {key: array for key, array in ids.items() if array is not None}

    def statistics(self) -> str:
        """A table of sizes, splits, modalities and missing features, with warnings about odd data."""
        from milk_np.data.statistics import statistics

        return statistics(self)

    def with_available(self, available: NDArray[np.bool_], meta: Mapping[str, Any] | None = None) -> Dataset:
        """The same data under another availability (I, M); features are shared, `meta` is added to."""
        kept = {k: v for k, v in self.meta.items() if k != "content_hash"}
        return replace(self, available=available, meta=kept | dict(meta or {}), check_features=False)

    @classmethod
    def load(cls, path: str | PathLike[str], *, check_features: bool = True) -> Dataset:
        """Read a data set from an `.npz` file, or from a folder whose features are then memory-mapped.

        Parameters
        ----------
        path : file or folder
        check_features : bool
            Look through the features for NaN and infinities. False saves one pass over a very large set.

        Raises
        ------
        DataError, ModalityError
            If the file is absent, damaged, holds pickled objects, or its arrays don't fit together.
        """
        path = Path(path)
        with storage.naming(path):
            arrays, meta = storage.read_arrays(path)
            names = tuple(arrays.pop("modalities").tolist())
            features = {name: arrays.pop(storage.FEATURE + name) for name in names}
            return cls(modalities=names, features=features, meta=meta, check_features=check_features, **arrays)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write an `.npz` file if `path` ends so, else a folder; it appears only when it is complete."""
        path = Path(path)
        meta = self.meta | {"content_hash": self.content_hash}
        write = storage.write_npz if path.suffix == ".npz" else storage.write_folder
        write(path, self.arrays(), meta)
        return path
