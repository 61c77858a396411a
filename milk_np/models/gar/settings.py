"""Settings of GAR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import content_option
from milk_np.settings.option import Value, option
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class GarSettings(PretrainedSettings):
    """What decides the result of GAR; widths, dropout, rate, batch and penalty are the authors'.

    The weights `alpha` and `beta` aren't: the published .05 and .1 together leave new items below a random order on the
    sets tried here. Nor are content, the pretrained vectors and their width.
    """

    title: ClassVar[str] = "GAR"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "GAR, as published": {"alpha": 0.05, "beta": 0.1, "content": "unit", "dim": 200},
    }

    # fmt: off
    model: str = option("gar", str, "model", "model to train", choices=("gar",), metavar="NAME")
    content: str = content_option("centred")
    max_epochs: int = option(200, int, "training", "maximum number of epochs", aliases=("epochs",), low=1)
    batch_size: int = option(1024, int, "training", "triplets per batch", low=1)
    hidden: int = option(200, int, "gar", "hidden width of the generator and of the recommender's towers", low=1)
    alpha: float = option(
        0.5, float, "gar", "weight of the distance to the pretrained vectors; the rest is the adversarial loss; "
        "published: 0.05", low=0, high=1,
    )
    beta: float = option(
        0.5, float, "gar", "share of the drawn item, the rest of the generated one, in what the recommender ranks "
        "below a chosen item; published: 0.1", low=0, high=1,
    )
    generator_dropout: float = option(0.1, float, "gar", "dropout of the generator", low=0, high=0.9)
    recommender_dropout: float = option(0.5, float, "gar", "dropout of the recommender's towers", low=0, high=0.9)
    reg: float = option(1e-3, float, "gar", "weight of half the L2 penalty on weights", low=0)
    # fmt: on

    def tuning_space(self) -> Space:
        """Learning rate, both weights, content and tables."""
        return {
            "lr": (1e-3, 3e-3),
            "alpha": (0.05, 0.5, 0.9),
            "beta": (0.1, 0.5, 0.9),
            "content": ("standard", "centred"),
            "backbone": BACKBONES,
        }
