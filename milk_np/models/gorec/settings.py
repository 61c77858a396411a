"""Settings of GoRec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.content import ContentSettings, content_option
from milk_np.settings.option import Value, option
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.settings.shared import Space

LATENTS = ("prior", "cluster")
DIVERGENCES = ("gaussian", "softmax", "samples")
THEIRS: Mapping[str, Value] = {"latent": "cluster", "divergence": "samples"}
"""What a new item is decoded from in the authors' program, and its divergence."""


@dataclass(frozen=True)
class GorecSettings(PretrainedSettings, ContentSettings):
    """What decides the result of GoRec; batch, rate, dropout and networks are the authors'.

    Their weights of divergence and uniformity are 10 and 5 on Baby, 5000 and 1 on Clothing, 5000 and 15 on Sports, with
    `divergence` "samples" and vectors that aren't standardised. The defaults here were chosen for "gaussian".
    """

    title: ClassVar[str] = "GoRec"
    published: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "GoRec, published for Baby": {**THEIRS, "clusters": 2000, "divergence_weight": 10.0, "uniformity": 5.0},
        "GoRec, published for Clothing": {**THEIRS, "clusters": 1024, "divergence_weight": 5000.0, "uniformity": 1.0},
    }

    # fmt: off
    model: str = option("gorec", str, "model", "model to train", choices=("gorec",), metavar="NAME")
    content: str = content_option("unit")
    batch_size: int = option(256, int, "training", "training items in a batch", low=2)
    latent: str = option(
        "prior", str, "gorec",
        "what a new item's vector is decoded from: the prior's mean, which content alone gives; or the encoder's mean "
        "for its content and the mean vector of its cluster, as in the authors' program",
        choices=LATENTS,
    )
    clusters: int = option(256, int, "gorec", "clusters of the training items by content", low=1)
    clustered: float = option(
        0.0, float, "gorec", "share of a batch's items that the encoder sees with their cluster's mean vector",
        low=0, high=1,
    )
    divergence: str = option(
        "gaussian", str, "gorec",
        "distance between what the encoder and what content say: between the two normal distributions; between the "
        "softmax of samples; or what the authors' program makes of raw samples",
        choices=DIVERGENCES,
    )
    divergence_weight: float = option(0.01, float, "gorec", "weight of that distance", low=0)
    uniformity: float = option(0.1, float, "gorec", "weight of the spread of the encoder's means on a sphere", low=0)
    dropout: float = option(0.3, float, "gorec", "share of the decoder's content that is dropped", low=0, high=0.99)
    # fmt: on

    def tuning_space(self) -> Space:
        """Weights, content and tables.

        Tuning for Table 2 chose the largest uniformity in three of four searches, so better ones may lie beyond.
        Another value here would change which settings a search tries, and with them the stored searches.
        """
        return {
            "divergence_weight": (1e-3, 1e-2, 1e-1),
            "uniformity": (1e-2, 1e-1, 1.0),
            "content": ("unit", "centred"),
            "backbone": BACKBONES,
        }
