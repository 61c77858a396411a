"""Settings of MICRO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import ContentSettings, content_option
from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class MicroSettings(ContentSettings):
    """What decides the result of MICRO; defaults are the authors', but for the rate."""

    title: ClassVar[str] = "MICRO"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "MICRO, as published": {"lr": 5e-4},
        "MICRO, published for new items": {"lr": 1e-5},
    }

    # fmt: off
    model: str = option("micro", str, "model", "model to train", choices=("micro",), metavar="NAME")
    content: str = content_option("unit")
    dim: int = option(64, int, "model", "dimension K of the vectors", aliases=("embedding-size",), low=1, high=65536)
    batch_size: int = option(1024, int, "training", "users in a batch, one pair and one negative each", low=1)
    lr: float = option(1e-3, float, "training", "learning rate of Adam at first", aliases=("learning-rate",), above=0)
    neighbours: int = option(
        10, int, "micro", "training items that an item is linked to in each modality", low=1,
    )
    layers: int = option(2, int, "micro", "layers of the graph between users and items", low=0)
    contrast: float = option(
        0.03, float, "objective", "weight of the contrast between each modality and their fusion", low=0,
    )
    temperature: float = option(0.5, float, "micro", "what the contrast's cosines are divided by", above=0)
    reg: float = option(1e-5, float, "objective", "weight of the L2 penalty on a batch's vectors", low=0)
    # fmt: on

    def tuning_space(self) -> Space:
        """Rate, neighbours, content, and weights of contrast and penalty."""
        return {
            "lr": (1e-3, 3e-3, 1e-2),
            "neighbours": (5, 10, 20, 50),
            "content": ("unit", "centred"),
            "contrast": (0.0, 0.03, 0.3),
            "reg": (1e-5, 1e-3, 1e-2),
        }
