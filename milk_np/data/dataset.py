"""The data set: interactions, the split into training and new items, raw features, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data import storage, validation
from milk_np.data.arrays import Arrays, Split
from milk_np.data.importers.preparation import Preparation
from milk_np.data.statistics import statistics
from milk_np.display.tables import Tabular, facts_table


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Arrays, Tabular):
    """Interactions of U users with I items that have M modalities; as a table, a row for each pair.

    See `milk_np.data.arrays.Arrays` for its fields.

    Raises
    ------
    DataError, ModalityError
        If the arrays are inconsistent; see `milk_np.data.validation`.
    """

    check_features: InitVar[bool] = True

    def __post_init__(self, check_features: bool) -> None:
        modalities = tuple(str(name) for name in self.modalities)
        self._set("user", validation.as_ids(self.user, "user"))
        self._set("item", validation.as_ids(self.item, "item"))
        self._set("split", validation.as_split(self.split, "split", len(self.user)))
        self._set("item_split", validation.as_item_split(self.item_split))
        self._set("modalities", modalities)
        self._set("features", {k: validation.as_features(v, k) for k, v in self.features.items()})
        self._set("available", validation.as_available(self.available))
        self._set("user_ids", validation.as_names(self.user_ids, "user_ids"))
        self._set("item_ids", validation.as_names(self.item_ids, "item_ids"))
        self._set("meta", dict(self.meta))
        validation.validate(self, check_features)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The pairs: columns "user" and "item" (ids, or numbers where there are none), "split" in words."""
        users = self.user if self.user_ids is None else self.user_ids[self.user]
        items = self.item if self.item_ids is None else self.item_ids[self.item]
        return {"user": users, "item": items, "split": np.array(["train", "valid", "test"])[self.split]}

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} {self.features[name].shape[1]}" for name in self.modalities)
        new = len(self.new_items())
        items = f"{self.n_items:,} items ({new:,} of them new)"
        return f"<Dataset {self.name}: {self.n_users:,} users, {items}, {len(self.user):,} pairs; {widths}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: sizes, and what is missing. `statistics` tells more, and reads all features for it."""
        counts = {split.name.lower(): int((self.item_split == split).sum()) for split in Split}
        items = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        sizes = {"users": f"{self.n_users:,}", "items": items, "pairs": f"{len(self.user):,}"}
        lost = [int((~self.available[:, m]).sum()) for m in range(self.n_modalities)]
        features = {
            name: f"{self.features[name].shape[1]} numbers, missing for {count:,} items"
            for name, count in zip(self.modalities, lost, strict=True)
        }
        return facts_table(f"Data set {self.name}", sizes | features)

    def statistics(self) -> str:
        """A table of sizes, splits, modalities and missing features, with warnings about unusual data."""
        return statistics(self)

    def with_available(self, available: NDArray[np.bool_], meta: Mapping[str, Any] | None = None) -> Dataset:
        """The same data with another availability (I, M); features are shared, `meta` is added to the existing one."""
        kept = {k: v for k, v in self.meta.items() if k != "content_hash"}
        return replace(self, available=available, meta=kept | dict(meta or {}), check_features=False)

    def all_training(self) -> Dataset:
        """The same data, every item that has a pair being a training item: for a final model, which nothing is held out
        from. Items without pairs stay new."""
        touched = np.bincount(self.item, minlength=self.n_items) > 0
        item_split = np.where(touched, np.uint8(Split.TRAIN), np.uint8(Split.UNSEEN))
        if np.array_equal(item_split, self.item_split):
            return self
        kept = {k: v for k, v in self.meta.items() if k != "content_hash"}
        split = np.zeros_like(self.split)
        return replace(self, item_split=item_split, split=split, meta=kept, check_features=False)

    @classmethod
    def load(cls, path: str | PathLike[str], *, check_features: bool = True) -> Dataset:
        """Read a data set from an `.npz` file, or from a folder whose features and pairs are then memory-mapped.

        Of a data set in shards it reads all; see `milk_np.data.shards` for some of them.

        Parameters
        ----------
        path : file or folder
        check_features : bool
            Check the features for NaN and infinities, and compare their checksums. False saves the passes over a very
            large set.

        Raises
        ------
        DataError, ModalityError
            If the file is missing, damaged, holds pickled objects, or its arrays are inconsistent.
        """
        path = Path(path)
        if (path / "items").is_dir():
            shards = import_module("milk_np.data.shards")  # which makes data sets, so it imports this module
            whole: Dataset = shards.load_shards(path, check=check_features)
            return whole
        with storage.naming(path):
            arrays, meta = storage.read_arrays(path, check_features)
            names = tuple(arrays.pop("modalities").tolist())
            features = {name: arrays.pop(storage.FEATURE + name) for name in names}
            return cls(modalities=names, features=features, meta=meta, check_features=check_features, **arrays)

    @classmethod
    def from_frames(
        cls,
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
        """Make a data set from data frames, by id.

        The items are all that the pairs, the features or `items` name. One that is absent from a modality's features,
        or has an empty cell or a row of NaN there, lacks that modality; one without pairs is a new item.

        Parameters
        ----------
        interactions : data frame or dict of arrays
            One row a pair. A frame is anything with `__arrow_c_stream__`: pandas, polars, pyarrow, DuckDB, and others.
        features : for each modality a data frame, a dict of arrays, or a tuple (ids, rows)
            A column `item` with ids, strings or whole numbers, and one column of lists or one column a number; in a
            dict also an array of two dimensions.
        how : Preparation, optional
            Splits, k-core, ratings, and so on: as with `milk-prepare`.
        items : ids, or a frame with a column of them, optional
            Further items of the catalogue.
        user, item, split, time, rating : str
            Names of columns. Times are dates, ISO 8601 text or numbers.

        Raises
        ------
        DataError, ModalityError, SettingsError
            If a column is missing or doesn't fit; the message names it.
        MissingExtraError
            If a frame is given and pyarrow isn't installed.
        """
        frames = import_module("milk_np.data.importers.frames")  # which makes data sets, so it imports this module
        columns = {"user": user, "item": item, "split": split, "time": time, "rating": rating}
        made: Dataset = frames.from_frames(interactions, features, how, items=items, **columns)
        return made

    def save(self, path: str | PathLike[str]) -> Path:
        """Write an `.npz` file if `path` ends in .npz, else a folder; it appears only when it is complete."""
        path = Path(path)
        meta = self.meta | {"content_hash": self.content_hash}
        write = storage.write_npz if path.suffix == ".npz" else storage.write_folder
        write(path, self.arrays(), meta)
        return path
