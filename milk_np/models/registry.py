"""Models by name. Nothing is imported before a model is asked for, so the list of names costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milk_np.models.base import Recommender
    from milk_np.settings.shared import Settings

TRAINED = {
    "milk": "milk_np.models.milk.model:Milk",
    "duif": "milk_np.models.duif.model:Duif",
    "duif-raw": "milk_np.models.duif.model:DuifRaw",
    "kernel-profile": "milk_np.models.kernel_profile.model:KernelProfile",
}
"""Models that learn by epochs: `milk-train` and the experiments offer them."""
CLOSED_FORM = frozenset({"kernel-profile"})
"""Those of them that one pass fits: no batches, no epochs."""
UNTRAINED = {
    "random": "milk_np.models.baselines.random_order:RandomOrder",
    "profile": "milk_np.models.baselines.content_profile:ContentProfile",
    "similar": "milk_np.models.baselines.most_similar:MostSimilar",
}
"""Models that are made from the data alone."""
MODELS = TRAINED | UNTRAINED


def model_class(name: str) -> type[Recommender]:
    """Class of the model called `name`, one of MODELS."""
    module, _, cls = MODELS[name].partition(":")
    found: type[Recommender] = getattr(import_module(module), cls)
    return found


def make_model(settings: Settings) -> Recommender:
    """A new model as `settings` describe it, to be fitted."""
    return model_class(settings.model).of(settings)
