"""Settings of MTPR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import ContentSettings, content_option
from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class MtprSettings(ContentSettings):
    """What decides the result of MTPR; defaults are the authors' but for the width and the content."""

    title: ClassVar[str] = "MTPR"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "MTPR, as published": {"dim": 32},
    }

    # fmt: off
    model: str = option("mtpr", str, "model", "model to train", choices=("mtpr",), metavar="NAME")
    dim: int = option(64, int, "model", "dimension K of the vectors; published: 32", low=1, high=65536)
    content: str = content_option("centred")
    lr: float = option(
        1e-2, float, "training", "learning rate of Adagrad on vectors and of Adam on weights",
        aliases=("learning-rate",), above=0,
    )
    max_epochs: int = option(100, int, "training", "maximum number of epochs", aliases=("epochs",), low=1)
    batch_size: int = option(512, int, "training", "triplets per batch", low=1)
    reg: float = option(
        1e-2, float, "mtpr", "weight of the L2 penalty on the weights, beside a sum over the batch", low=0,
    )
    vector_reg: float = option(
        0.0, float, "mtpr", "weight of the L2 penalty on the batch's vectors of users and items, summed", low=0,
    )
    # fmt: on

    def tuning_space(self) -> Space:
        """Learning rate, both penalties and content."""
        return {
            "lr": (1e-3, 3e-3, 1e-2),
            "reg": (1e-2, 1.0, 10.0),
            "vector_reg": (0.0, 1e-2, 1e-1),
            "content": ("unit", "centred"),
        }
