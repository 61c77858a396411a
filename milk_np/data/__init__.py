"""Data: the data set on disk and in memory, its split, its missing modalities and their imputation."""

from milk_np.data.dataset import Dataset
from milk_np.data.features import FeatureTable
from milk_np.data.importers.assemble import Preparation
from milk_np.data.importers.milk import from_milk_folder
from milk_np.data.importers.mmrec import from_mmrec_folder
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
