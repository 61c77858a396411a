"""Imputers by name, and the imputed feature tables."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from milk_np.data.dataset import Dataset
from milk_np.data.features import FeatureTable
from milk_np.data.imputers.base import Imputer
from milk_np.errors import SettingsError
from milk_np.settings.names import IMPUTERS


def imputer_class(name: str) -> type[Imputer]:
    """Class of the imputer named `name`, one of `IMPUTERS`."""
    if name not in IMPUTERS:
        raise SettingsError(f"impute: expected one of {', '.join(IMPUTERS)}, got {name!r}")
    module, _, class_ = IMPUTERS[name].partition(":")
    return cast("type[Imputer]", getattr(import_module(module), class_))


def make_imputer(name: str) -> Imputer:
    """A new imputer, not fitted yet."""
    return imputer_class(name)()


def feature_tables(ds: Dataset, imputer: Imputer) -> list[FeatureTable]:
    """One table per modality of `ds`, imputed by the fitted `imputer`."""
    return [
        FeatureTable.build(ds.features[name], ds.available[:, m], *imputer.fill(ds, m))
        for m, name in enumerate(ds.modalities)
    ]
