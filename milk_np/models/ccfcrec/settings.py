"""Settings of CCFCRec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import ContentSettings, content_option
from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class CcfcrecSettings(ContentSettings):
    """What decides the result of CCFCRec; batch, samples, temperature and `contrast` are the authors' for Video Games.

    Rate and width aren't; `reg` is theirs for losses that are means.
    """

    title: ClassVar[str] = "CCFCRec"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "CCFCRec, published for Video Games": {"dim": 256, "lr": 1e-4},
    }

    # fmt: off
    model: str = option("ccfcrec", str, "model", "model to train", choices=("ccfcrec",), metavar="NAME")
    content: str = content_option("unit")
    dim: int = option(64, int, "model", "dimension K of the vectors", aliases=("embedding-size",), low=1, high=65536)
    hidden: int = option(64, int, "model", "hidden numbers of the generator", low=1, high=65536)
    batch_size: int = option(1024, int, "training", "training pairs in a batch", low=1)
    contrast: float = option(
        0.6, float, "ccfcrec", "weight of the contrast between contents and items' vectors; the rest is for ranking "
        "users", low=0, high=1,
    )
    temperature: float = option(0.1, float, "ccfcrec", "what the contrast's cosines are divided by", above=0)
    positives: int = option(5, int, "ccfcrec", "other items of the user that an item's content is drawn to", low=1)
    drawn: int = option(40, int, "ccfcrec", "training items that each of them is contrasted with", low=1)
    reg: float = option(1e-4, float, "objective", "weight of the L2 penalty", low=0)
    # fmt: on

    def tuning_space(self) -> Space:
        """Rate, balance of contrast and ranking, temperature, content and penalty."""
        return {
            "lr": (1e-3, 3e-3),
            "contrast": (0.2, 0.6),
            "temperature": (0.1, 0.3, 1.0),
            "content": ("unit", "centred"),
            "reg": (1e-4, 1e-3, 1e-2),
        }
