"""Settings of DropoutNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import content_option
from milk_np.settings.option import Value, option
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class DropoutNetSettings(PretrainedSettings):
    """What decides the result of DropoutNet; hidden width, momentum, decay and dropout of items are the authors'.

    Dropout of users, rate, batch, items a user and pretrained vectors aren't: see the model.
    """

    title: ClassVar[str] = "DropoutNet"
    revision: ClassVar[int] = 1  # an epoch is a tenth of a pass
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "DropoutNet, as published": {"user_dropout": 0.5, "top_items": 2500, "batch_size": 100, "lr": 5e-3, "dim": 200},
    }

    # fmt: off
    model: str = option("dropoutnet", str, "model", "model to train", choices=("dropoutnet",), metavar="NAME")
    content: str = content_option("standard")
    lr: float = option(
        2e-2, float, "training", "learning rate of momentum descent; published: 0.005 at 100 rows",
        aliases=("learning-rate",), above=0,
    )
    momentum: float = option(0.9, float, "training", "share of the last step that is kept", low=0, high=0.9999)
    lr_decay: float = option(
        0.1, float, "training", "factor of the learning rate every 100,000 users", above=0, high=1,
    )
    max_epochs: int = option(
        100, int, "training", "maximum number of epochs, each a tenth of all users' items", aliases=("epochs",), low=1,
    )
    batch_size: int = option(1024, int, "training", "users with an item in a batch", low=1)
    hidden: int = option(200, int, "dropoutnet", "hidden width of the towers", low=1)
    item_dropout: float = option(
        0.5, float, "dropoutnet", "share of a batch's rows whose pretrained item vector is zeroed", low=0, high=1,
    )
    user_dropout: float = option(
        0.0, float, "dropoutnet",
        "share of a batch's rows whose pretrained user vector is zeroed; published: 0.5", low=0, high=1,
    )
    top_items: int = option(
        100, int, "dropoutnet",
        "items with the highest pretrained score that a user learns from, and as many random ones; published: 2500",
        low=1,
    )
    # fmt: on

    def tuning_space(self) -> Space:
        """Learning rate, dropout of items, content and tables."""
        return {
            "lr": (5e-3, 2e-2, 5e-2),
            "item_dropout": (0.3, 0.5, 0.7, 0.9),
            "content": ("standard", "centred"),
            "backbone": BACKBONES,
        }
