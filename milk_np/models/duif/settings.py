"""Settings of DUIF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import option
from milk_np.settings.triplets import TripletSettings


@dataclass(frozen=True)
class DuifSettings(TripletSettings):
    """Settings of DUIF on rows of unit length.

    MILK's other settings, which its step reads too, are fixed: free users, one environment, no alignment.
    """

    title: ClassVar[str] = "DUIF"
    users: ClassVar[str] = "free"
    without: ClassVar[tuple[str, ...]] = ("cmam", "ceim")
    risk: ClassVar[str] = "mean"
    invariance_weight: ClassVar[float] = 0.0
    align_weight: ClassVar[float] = 0.0

    model: str = option("duif", str, "model", "model to train", choices=("duif",), metavar="NAME")


@dataclass(frozen=True)
class DuifRawSettings(DuifSettings):
    """Settings of DUIF on the raw features."""

    title: ClassVar[str] = "DUIF, raw features"

    model: str = option("duif-raw", str, "model", "model to train", choices=("duif-raw",), metavar="NAME")
