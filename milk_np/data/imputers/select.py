"""Imputers by name, and the imputed feature tables."""

from __future__ import annotations

from milk_np.data.dataset import Dataset
from milk_np.data.features import FeatureTable
from milk_np.data.imputers.base import Imputer
from milk_np.data.imputers.constant import MeanImputer, ZeroImputer
from milk_np.data.imputers.map import MapImputer
from milk_np.data.imputers.nearest import NearestImputer
from milk_np.errors import SettingsError

IMPUTERS: dict[str, type[Imputer]] = {
    kind.name: kind for kind in (ZeroImputer, MeanImputer, MapImputer, NearestImputer)
}


def imputer_class(name: str) -> type[Imputer]:
    """Class of the imputer named `name`: zero, mean, map or nearest."""
    if name not in IMPUTERS:
        raise SettingsError(f"impute: expected one of {', '.join(IMPUTERS)}, got {name!r}")
    return IMPUTERS[name]


def make_imputer(name: str) -> Imputer:
    """A new imputer, not fitted yet."""
    return imputer_class(name)()


def feature_tables(ds: Dataset, imputer: Imputer) -> list[FeatureTable]:
    """One table per modality of `ds`, imputed by the fitted `imputer`."""
    return [
        FeatureTable.build(ds.features[name], ds.available[:, m], *imputer.fill(ds, m))
        for m, name in enumerate(ds.modalities)
    ]
