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
    from milk_np.evaluation.result import Evaluation
    from milk_np.models.baselines.content_profile import ContentProfile
    from milk_np.models.baselines.most_similar import MostSimilar
    from milk_np.models.baselines.random_order import RandomOrder
    from milk_np.models.ccfcrec.model import Ccfcrec
    from milk_np.models.clcrec.model import Clcrec
    from milk_np.models.closed_form.feature_ials import FeatureIals
    from milk_np.models.closed_form.ials_ridge import IalsRidge
    from milk_np.models.closed_form.knn import ContentKnn
    from milk_np.models.closed_form.marec import Marec
    from milk_np.models.closed_form.ridge_direct import RidgeDirect
    from milk_np.models.closed_form.svd_ridge import SvdRidge
    from milk_np.models.dropoutnet.model import DropoutNet
    from milk_np.models.duif.model import Duif, DuifRaw
    from milk_np.models.gar.model import Gar
    from milk_np.models.gorec.model import Gorec
    from milk_np.models.heater.model import Heater
    from milk_np.models.kernel_profile.model import KernelProfile
    from milk_np.models.kernel_profile.settings import KernelProfileSettings
    from milk_np.models.micro.model import Micro
    from milk_np.models.milk.model import Milk
    from milk_np.models.milk.settings import MilkSettings
    from milk_np.models.mtpr.model import Mtpr
    from milk_np.models.stored import load
    from milk_np.serving.ranked import Ranked
    from milk_np.settings.shared import Settings
    from milk_np.training.events import Callback, Progress
    from milk_np.training.listener import Listener
    from milk_np.training.progress import show_progress

__version__ = text.VERSION
__all__ = [
    "Callback",
    "Ccfcrec",
    "Clcrec",
    "ContentKnn",
    "ContentProfile",
    "Dataset",
    "DropoutNet",
    "Duif",
    "DuifRaw",
    "Evaluation",
    "FeatureIals",
    "Gar",
    "Gorec",
    "Heater",
    "IalsRidge",
    "KernelProfile",
    "KernelProfileSettings",
    "Listener",
    "Marec",
    "Micro",
    "Milk",
    "MilkSettings",
    "MostSimilar",
    "Mtpr",
    "Progress",
    "RandomOrder",
    "Ranked",
    "RidgeDirect",
    "Settings",
    "SvdRidge",
    "__version__",
    "evaluate",
    "load",
    "show_progress",
]

_HOMES = {
    "Callback": "milk_np.training.events",
    "Ccfcrec": "milk_np.models.ccfcrec.model",
    "Clcrec": "milk_np.models.clcrec.model",
    "ContentKnn": "milk_np.models.closed_form.knn",
    "ContentProfile": "milk_np.models.baselines.content_profile",
    "Dataset": "milk_np.data",
    "DropoutNet": "milk_np.models.dropoutnet.model",
    "Duif": "milk_np.models.duif.model",
    "DuifRaw": "milk_np.models.duif.model",
    "Evaluation": "milk_np.evaluation.result",
    "FeatureIals": "milk_np.models.closed_form.feature_ials",
    "Gar": "milk_np.models.gar.model",
    "Gorec": "milk_np.models.gorec.model",
    "Heater": "milk_np.models.heater.model",
    "IalsRidge": "milk_np.models.closed_form.ials_ridge",
    "KernelProfile": "milk_np.models.kernel_profile.model",
    "KernelProfileSettings": "milk_np.models.kernel_profile.settings",
    "Listener": "milk_np.training.listener",
    "Marec": "milk_np.models.closed_form.marec",
    "Micro": "milk_np.models.micro.model",
    "Milk": "milk_np.models.milk.model",
    "MilkSettings": "milk_np.models.milk.settings",
    "MostSimilar": "milk_np.models.baselines.most_similar",
    "Mtpr": "milk_np.models.mtpr.model",
    "Progress": "milk_np.training.events",
    "RandomOrder": "milk_np.models.baselines.random_order",
    "Ranked": "milk_np.serving.ranked",
    "RidgeDirect": "milk_np.models.closed_form.ridge_direct",
    "Settings": "milk_np.settings.shared",
    "SvdRidge": "milk_np.models.closed_form.svd_ridge",
    "evaluate": "milk_np.evaluation.evaluate",
    "load": "milk_np.models.stored",
    "show_progress": "milk_np.training.progress",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing the package costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those that aren't imported yet, too."""
    return sorted({*globals(), *__all__})
