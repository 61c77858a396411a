"""Data: the data set on disk and in memory, its split, its missing modalities and their imputation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milk_np.data.dataset import Dataset
    from milk_np.data.features import FeatureTable
    from milk_np.data.importers.milk import from_milk_folder
    from milk_np.data.importers.mmrec import from_mmrec_folder
    from milk_np.data.importers.preparation import Preparation
    from milk_np.data.importers.tables import from_dataset, from_folder, from_tables
    from milk_np.data.imputers.base import Imputer
    from milk_np.data.imputers.select import feature_tables, imputer_class, make_imputer
    from milk_np.data.missing import Mask, apply_protocol, make_mask
    from milk_np.data.split import k_core, split_new_items
    from milk_np.data.synthetic.large import write_synthetic
    from milk_np.data.synthetic.planted import make_synthetic
    from milk_np.settings.names import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "Dataset",
    "FeatureTable",
    "Imputer",
    "Mask",
    "Preparation",
    "apply_protocol",
    "feature_tables",
    "from_dataset",
    "from_folder",
    "from_milk_folder",
    "from_mmrec_folder",
    "from_tables",
    "imputer_class",
    "k_core",
    "make_imputer",
    "make_mask",
    "make_synthetic",
    "split_new_items",
    "write_synthetic",
]

_HOMES = {
    "PROTOCOLS": "milk_np.settings.names",
    "Dataset": "milk_np.data.dataset",
    "FeatureTable": "milk_np.data.features",
    "Imputer": "milk_np.data.imputers.base",
    "Mask": "milk_np.data.missing",
    "Preparation": "milk_np.data.importers.preparation",
    "apply_protocol": "milk_np.data.missing",
    "feature_tables": "milk_np.data.imputers.select",
    "from_dataset": "milk_np.data.importers.tables",
    "from_folder": "milk_np.data.importers.tables",
    "from_milk_folder": "milk_np.data.importers.milk",
    "from_mmrec_folder": "milk_np.data.importers.mmrec",
    "from_tables": "milk_np.data.importers.tables",
    "imputer_class": "milk_np.data.imputers.select",
    "k_core": "milk_np.data.split",
    "make_imputer": "milk_np.data.imputers.select",
    "make_mask": "milk_np.data.missing",
    "make_synthetic": "milk_np.data.synthetic.planted",
    "split_new_items": "milk_np.data.split",
    "write_synthetic": "milk_np.data.synthetic.large",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: the commands read the table of formats before NumPy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those that aren't imported yet, too."""
    return sorted({*globals(), *__all__})
