"""Recommend new items from multimodal content when some modalities are missing.

Symbols, used the same everywhere: U users, I items, M modalities, E environments, B triplets in a batch,
K latent width, D_m raw width of modality m.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from milk_np import text

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.evaluation.evaluate import evaluate
    from milk_np.models.kernel_profile.model import KernelProfile
    from milk_np.models.kernel_profile.settings import KernelProfileSettings
    from milk_np.models.milk.model import Milk
    from milk_np.models.milk.settings import MilkSettings
    from milk_np.settings.shared import Settings

__version__ = text.VERSION
__all__ = [
    "Dataset",
    "KernelProfile",
    "KernelProfileSettings",
    "Milk",
    "MilkSettings",
    "Settings",
    "__version__",
    "evaluate",
]

_HOMES = {
    "Dataset": "milk_np.data",
    "KernelProfile": "milk_np.models.kernel_profile.model",
    "KernelProfileSettings": "milk_np.models.kernel_profile.settings",
    "Milk": "milk_np.models.milk.model",
    "MilkSettings": "milk_np.models.milk.settings",
    "Settings": "milk_np.settings.shared",
    "evaluate": "milk_np.evaluation.evaluate",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing the package costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
