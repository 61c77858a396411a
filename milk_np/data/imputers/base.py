"""What every imputer offers: imputing the data it was fitted on, and items that weren't in them.

Imputation works on raw rows, before row normalisation, and learns from training items only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import permutations
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.rows import FeatureArray, absent_rows
from milk_np.data.validation import as_available, as_features, check_available, check_finite
from milk_np.errors import DataError, ModalityError
from milk_np.files.schema import FLOATS, Field, Schema, check

Rows = dict[str, NDArray[np.float32]]
Fitted = dict[str, NDArray[Any]]


class Imputer(ABC):
    """Imputes missing modalities.

    Attributes
    ----------
    name : str
        Name in the settings.
    modalities, widths : after `fit`
        Names and raw widths D_m of the modalities.
    fitted : dict of arrays, after `fit`
        Everything that was learned.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.modalities: tuple[str, ...] = ()
        self.widths: dict[str, int] = {}
        self.fitted: Fitted = {}

    def fit(self, ds: Dataset) -> Self:
        """Learn from the training items of `ds`."""
        self.modalities = ds.modalities
        self.widths = {name: int(ds.features[name].shape[1]) for name in ds.modalities}
        self.fitted = self._fit(ds)
        return self

    @abstractmethod
    def _fit(self, ds: Dataset) -> Fitted:
        """The arrays learned from the training items, under the names of `_keys`."""

    @abstractmethod
    def _keys(self) -> list[str]:
        """Names of the fitted arrays."""

    @abstractmethod
    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        """Rows of `modality` for the items `missing`: (len(missing), D), or (1, D) if all are the same.

        `rows` (n, D_m) and `available` (n, M) describe all items; rows that aren't available must not be read.
        """

    def fill(self, ds: Dataset, modality_index: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Imputed rows for one modality of the fitted data.

        Returns
        -------
        fill : (F, D) float32
        source : (I,) int32
            For each item the row to read: s >= 0 is raw row s, s < 0 is fill[~s].
        """
        missing = np.flatnonzero(~ds.available[:, modality_index])
        fill = self._estimate(ds.features, ds.available, missing, self.modalities[modality_index])
        source = np.arange(ds.n_items, dtype=np.int32)
        source[missing] = ~(np.arange(len(missing)) if len(fill) == len(missing) else np.zeros(1, np.int64))
        return fill, source

    def complete(self, rows: Mapping[str, FeatureArray | None], available: NDArray[np.bool_] | None = None) -> Rows:
        """Raw rows (n, D_m) float32 of items that weren't in the data, with missing ones imputed.

        Parameters
        ----------
        rows : for each modality (n, D_m), or None if no item has it
            Modalities left out count as None.
        available : (n, M) bool, optional
            Which item has which modality; by default all rows that are given and aren't NaN as a whole.

        Raises
        ------
        ModalityError
            If a name, width or shape is wrong, an available row isn't finite, or an item has no modality.
        """
        given, available = self.checked(rows, available)
        out: Rows = {}
        for m, name in enumerate(self.modalities):
            missing = np.flatnonzero(~available[:, m])
            filled = np.array(given[name], dtype=np.float32)
            filled[missing] = self._estimate(given, available, missing, name)
            out[name] = filled
        return out

    def checked(
        self, rows: Mapping[str, FeatureArray | None], available: NDArray[np.bool_] | None
    ) -> tuple[dict[str, FeatureArray], NDArray[np.bool_]]:
        """Rows (n, D_m) of every modality, zeros for one that no item has, and availability (n, M).

        Takes the arguments of `complete` and raises its errors.
        """
        names = ", ".join(self.modalities)
        unknown = sorted(set(rows) - set(self.modalities))
        if unknown:
            raise ModalityError(f"features: expected modalities among {names}, got {', '.join(unknown)}")
        given = {name: as_features(value, name) for name, value in rows.items() if value is not None}
        if not given:
            raise ModalityError(f"features: expected at least one of {names}, got none")
        n = len(next(iter(given.values())))
        if available is None:
            available = np.stack([owned_rows(given.get(name), n) for name in self.modalities], axis=1)
        available = as_available(available)
        check_available(available, n, self.modalities)
        for m, name in enumerate(self.modalities):
            self._check_rows(given, name, n, available[:, m])
        return given, available

    def _check_rows(self, given: dict[str, FeatureArray], name: str, n: int, owned: NDArray[np.bool_]) -> None:
        shape = (n, self.widths[name])
        if name not in given:
            if owned.any():
                raise ModalityError(f"feature_{name}: expected shape {shape} for items that have it, got none")
            given[name] = np.zeros(shape, dtype=np.float32)
        if given[name].shape != shape:
            raise ModalityError(f"feature_{name}: expected shape {shape}, got {given[name].shape}")
        check_finite(np.where(owned[:, None], given[name], 0), name)

    def state(self) -> Fitted:
        """The fitted imputer as plain arrays."""
        widths = np.array([self.widths[name] for name in self.modalities], dtype=np.int64)
        return {"modalities": np.array(self.modalities, dtype=np.str_), "widths": widths, **self.fitted}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The imputer whose `state()` was saved; a DataError names missing arrays."""
        imputer = cls()
        _require(state, ["modalities", "widths"], cls.name)
        imputer.modalities = tuple(str(name) for name in state["modalities"])
        imputer.widths = dict(zip(imputer.modalities, state["widths"].tolist(), strict=True))
        _require(state, imputer._keys(), cls.name)
        imputer.fitted = {key: np.asarray(state[key]) for key in imputer._keys()}
        check(f"state of the {cls.name} imputer", imputer.fitted, imputer._schema(), {"M": len(imputer.modalities)})
        return imputer

    def _schema(self) -> Schema:
        """What the arrays of the state look like, by the beginning of their names and the modalities behind it."""
        return {key: self._field(*key.split("_", 1)) for key in self._keys()}

    def _field(self, what: str, names: str = "") -> Field:
        if what == "owned":
            return Field("b", ("n", "M"))
        if what in ("mean", "rows"):
            width = self.widths[names]
            return Field(FLOATS, (width,) if what == "mean" else ("n", width), finite=what == "mean")
        have, want = next(pair for pair in permutations(self.modalities, 2) if "_".join(pair) == names)
        return Field(FLOATS, (self.widths[want],) if what == "intercept" else (self.widths[have], self.widths[want]))


def owned_rows(rows: FeatureArray | None, n: int) -> NDArray[np.bool_]:
    """Which of n items have a modality: one that is given, in a row that isn't NaN as a whole."""
    if rows is None or len(rows) != n:  # another length is an error of its own
        return np.full(n, rows is not None)
    return ~absent_rows(rows)


def training_owners(ds: Dataset, modality_index: int) -> NDArray[np.bool_]:
    """Training items that have the modality, (I,) bool; ModalityError if there are none."""
    owners: NDArray[np.bool_] = (ds.item_split == Split.TRAIN) & ds.available[:, modality_index]
    if not owners.any():
        raise ModalityError(
            f"{ds.modalities[modality_index]}: no training item has this modality, so nothing can be learned from it; "
            "expected at least one, leave out this modality"
        )
    return owners


def _require(state: Mapping[str, NDArray[Any]], keys: list[str], name: str) -> None:
    absent = [key for key in keys if key not in state]
    if absent:
        raise DataError(f"state of the {name} imputer: expected array {', '.join(absent)}, which is missing")
