"""Imputation of missing feature rows, on raw rows and before row normalisation.

Statistics come from training items that own the modality, never from new items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.features import FeatureTable
from milk_np.data.rows import FeatureArray, mean_row
from milk_np.data.validation import as_available, as_features, check_available, check_finite
from milk_np.errors import ModalityError, SettingsError

Rows = dict[str, NDArray[np.float32]]


class Imputer(ABC):
    """Fills missing modalities of the fitted data and of items that weren't in it.

    Attributes
    ----------
    name : str
        Name in the settings.
    modalities, widths : after `fit`
        Names and raw widths D_m of the modalities.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.modalities: tuple[str, ...] = ()
        self.widths: dict[str, int] = {}

    def fit(self, ds: Dataset) -> Self:
        """Learn what the filling needs from the training items of `ds`."""
        self.modalities = ds.modalities
        self.widths = {name: int(ds.features[name].shape[1]) for name in ds.modalities}
        self._fit(ds)
        return self

    def fill(self, ds: Dataset, modality_index: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Stand-ins (F, D) float32 for a modality, and for each item the row to read: s >= 0 raw, else fill[~s]."""
        missing = np.flatnonzero(~ds.available[:, modality_index])
        source = np.arange(ds.n_items, dtype=np.int32)
        fill = self._estimate(ds.features, ds.available, missing, self.modalities[modality_index])
        source[missing] = ~(np.arange(len(missing), dtype=np.int32) if len(fill) != 1 else np.zeros(1, np.int32))
        return fill, source

    def complete(self, rows: Mapping[str, FeatureArray | None], available: NDArray[np.bool_] | None = None) -> Rows:
        """Raw rows (n, D_m) float32 of items that weren't in the data, with missing ones filled in.

        Parameters
        ----------
        rows : for each modality (n, D_m), or None if no item owns it
            Modalities left out count as None.
        available : (n, M) bool, optional
            Which item owns which modality; by default all that were given.

        Raises
        ------
        ModalityError
            If a name, width or shape is wrong, an owned row isn't finite, or an item owns nothing.
        """
        given, available = self._check_new(rows, available)
        out: Rows = {}
        for m, name in enumerate(self.modalities):
            missing = np.flatnonzero(~available[:, m])
            filled = np.array(given[name], dtype=np.float32)
            filled[missing] = self._estimate(given, available, missing, name)
            out[name] = filled
        return out

    def _check_new(
        self, rows: Mapping[str, FeatureArray | None], available: NDArray[np.bool_] | None
    ) -> tuple[dict[str, FeatureArray], NDArray[np.bool_]]:
        unknown = sorted(set(rows) - set(self.modalities))
        if unknown:
            raise ModalityError(f"rows: expected modalities {', '.join(self.modalities)}, got {', '.join(unknown)}")
        given = {name: as_features(value, name) for name, value in rows.items() if value is not None}
        if not given:
            raise ModalityError(f"rows: expected features of at least one of {', '.join(self.modalities)}, got none")
        n = len(next(iter(given.values())))
        if available is None:
            available = np.tile([name in given for name in self.modalities], (n, 1))
        available = as_available(available)
        check_available(available, n, self.modalities)
        for m, name in enumerate(self.modalities):
            self._check_rows(given, name, n, available[:, m])
        return given, available

    def _check_rows(self, given: dict[str, FeatureArray], name: str, n: int, owned: NDArray[np.bool_]) -> None:
        shape = (n, self.widths[name])
        if name not in given:
            if owned.any():
                raise ModalityError(f"{name}: expected rows of shape {shape} for the items that own it, got none")
            given[name] = np.zeros(shape, dtype=np.float32)
        if given[name].shape != shape:
            raise ModalityError(f"{name}: expected rows of shape {shape}, got {given[name].shape}")
        check_finite(np.where(owned[:, None], given[name], 0), name)

    def _fit(self, ds: Dataset) -> None:
        """Learn from the training items; nothing to learn by default."""

    @abstractmethod
    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        """Rows of `modality` for the items `missing`: (len(missing), D), or (1, D) if they are all the same."""

    def state(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as plain arrays."""
        names = np.array(self.modalities, dtype=np.str_)
        return {"modalities": names, "widths": np.array([self.widths[m] for m in self.modalities], dtype=np.int64)}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The imputer whose `state()` was saved."""
        imputer = cls()
        imputer.modalities = tuple(str(name) for name in state["modalities"])
        imputer.widths = dict(zip(imputer.modalities, state["widths"].tolist(), strict=True))
        imputer._restore(state)
        return imputer

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `_fit` learned."""


class ZeroImputer(Imputer):
    """Missing rows are zero, so they add nothing but the bias."""

    name = "zero"

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        return np.zeros((1, self.widths[modality]), dtype=np.float32)


class MeanImputer(Imputer):
    """Missing rows are the mean raw row of the training items that own the modality, as in the paper."""

    name = "mean"

    def __init__(self) -> None:
        super().__init__()
        self.means: dict[str, NDArray[np.float32]] = {}

    def _fit(self, ds: Dataset) -> None:
        for m, name in enumerate(ds.modalities):
            self.means[name] = mean_row(ds.features[name], training_owners(ds, m))

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        return self.means[modality][None, :]

    def state(self) -> dict[str, NDArray[Any]]:
        return super().state() | {f"mean_{name}": row for name, row in self.means.items()}

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.means = {name: np.asarray(state[f"mean_{name}"], dtype=np.float32) for name in self.modalities}


def training_owners(ds: Dataset, modality_index: int) -> NDArray[np.bool_]:
    """Training items that own the modality, (I,) bool; an error if there are none."""
    owners: NDArray[np.bool_] = (ds.item_split == 0) & ds.available[:, modality_index]
    if not owners.any():
        raise ModalityError(
            f"{ds.modalities[modality_index]}: no training item owns it, so nothing can be learned from it; "
            "expected at least one, leave this modality out"
        )
    return owners


IMPUTERS: dict[str, type[Imputer]] = {"zero": ZeroImputer, "mean": MeanImputer}


def imputer_class(name: str) -> type[Imputer]:
    """Class of the imputer called `name`: zero or mean."""
    if name not in IMPUTERS:
        raise SettingsError(f"impute: expected one of {', '.join(IMPUTERS)}, got {name!r}")
    return IMPUTERS[name]


def make_imputer(name: str) -> Imputer:
    """A new imputer, to be fitted."""
    return imputer_class(name)()


def feature_tables(ds: Dataset, imputer: Imputer) -> list[FeatureTable]:
    """One table per modality of `ds`, filled by the fitted `imputer`."""
    return [
        FeatureTable.build(ds.features[name], ds.available[:, m], *imputer.fill(ds, m))
        for m, name in enumerate(ds.modalities)
    ]
