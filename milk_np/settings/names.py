"""Names that several parts use."""

from __future__ import annotations

DEVICES = {
    "cpu": "milk_np.backends.numba:NumpyBackend",
    "gpu": "milk_np.backends.cupy:CupyBackend",
}
"""Where to compute: a device, and its backend as `module:class`."""
IMPUTERS = {
    "zero": "milk_np.data.imputers.constant:ZeroImputer",
    "mean": "milk_np.data.imputers.constant:MeanImputer",
    "map": "milk_np.data.imputers.map:MapImputer",
    "nearest": "milk_np.data.imputers.nearest:NearestImputer",
}
"""How missing modalities are imputed, and each imputer as `module:class`."""
PROTOCOLS = ("FTFT", "FTMT", "MTFT", "MTMT")
MASK = ("protocol", "missing_train", "missing_test", "missing_mix", "missing_seed")
"""Settings that say which modalities are removed."""
GROUPS = ("model", "missing modalities", "training", "objective", "", "evaluation", "machine")
"""Groups of settings in the order in which they are shown; the empty name stands for a model's own groups."""
