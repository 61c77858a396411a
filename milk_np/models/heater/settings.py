"""Settings of Heater."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import content_option
from milk_np.settings.option import Value, option
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class HeaterSettings(PretrainedSettings):
    """What decides the result of Heater; defaults are the authors' but for rate, content and width."""

    title: ClassVar[str] = "Heater"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "Heater, as published": {"lr": 5e-3, "content": "standard", "dim": 200},
    }

    # fmt: off
    model: str = option("heater", str, "model", "model to train", choices=("heater",), metavar="NAME")
    content: str = content_option("centred")
    lr: float = option(
        2e-2, float, "training", "learning rate of momentum descent; published: 0.005",
        aliases=("learning-rate",), above=0,
    )
    momentum: float = option(0.9, float, "training", "share of the last step that is kept", low=0, high=0.9999)
    lr_decay: float = option(0.8, float, "training", "factor of the learning rate every 10 epochs", above=0, high=1)
    max_epochs: int = option(100, int, "training", "maximum number of epochs", aliases=("epochs",), low=1)
    batch_size: int = option(1024, int, "training", "pairs and drawn non-pairs in a batch", low=1)
    experts: int = option(5, int, "heater", "number of experts", low=1)
    replaced: float = option(
        0.5, float, "heater", "share of a batch's rows whose pretrained item vector is replaced by that from content",
        low=0, high=1,
    )
    alpha: float = option(
        1e-4, float, "heater",
        "weight of the squared distance between the two vectors of an item, summed over 1024 rows", low=0,
    )
    reg: float = option(1e-4, float, "heater", "weight of the L2 penalty on all weights", low=0)
    drawn: int = option(5, int, "heater", "non-pairs drawn for each pair", low=0)
    # fmt: on

    def tuning_space(self) -> Space:
        """Learning rate, weight of the distance, content and tables."""
        return {
            "lr": (5e-3, 2e-2, 5e-2),
            "alpha": (1e-4, 1e-3),
            "content": ("standard", "centred"),
            "backbone": BACKBONES,
        }
