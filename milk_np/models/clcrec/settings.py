"""Settings of CLCRec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import ContentSettings, content_option
from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space


@dataclass(frozen=True)
class ClcrecSettings(ContentSettings):
    """What decides the result of CLCRec; defaults are the authors' for Movielens, but for `reg` (theirs .1)."""

    title: ClassVar[str] = "CLCRec"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "CLCRec, published for Movielens": {"reg": 0.1},
        "CLCRec, published for Amazon": {"drawn": 512, "mutual": 0.9, "temperature": 1.0},
    }

    # fmt: off
    model: str = option("clcrec", str, "model", "model to train", choices=("clcrec",), metavar="NAME")
    content: str = content_option("unit")
    dim: int = option(64, int, "model", "dimension K of the vectors", aliases=("embedding-size",), low=1, high=65536)
    hidden: int = option(256, int, "model", "hidden numbers of the encoder of content", low=1, high=65536)
    batch_size: int = option(256, int, "training", "training pairs in a batch", low=1)
    drawn: int = option(128, int, "clcrec", "training items that each pair is contrasted with", low=1)
    mutual: float = option(
        0.5, float, "clcrec", "weight of the contrast between an item's own vector and contents; the rest is for "
        "the contrast between users and items", low=0, high=1,
    )
    temperature: float = option(2.0, float, "clcrec", "what both contrasts' scores are divided by", above=0)
    replaced: float = option(
        0.5, float, "clcrec", "share of the candidates that a user sees by content instead of by their own vector",
        low=0, high=1,
    )
    reg: float = option(1e-3, float, "objective", "weight of the vectors' mean length", low=0)
    # fmt: on

    def tuning_space(self) -> Space:
        """Rate, balance of the two contrasts, temperature, content and weight of the lengths."""
        return {
            "lr": (1e-3, 3e-3),
            "mutual": (0.1, 0.5, 0.9),
            "temperature": (0.3, 1.0, 2.0),
            "content": ("unit", "centred"),
            "reg": (1e-3, 1e-1),
        }
