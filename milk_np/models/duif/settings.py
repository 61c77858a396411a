"""Settings of DUIF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import option
from milk_np.settings.triplets import TripletSettings


@dataclass(frozen=True)
class DuifSettings(TripletSettings):
    """Settings of DUIF on rows of unit length."""

    title: ClassVar[str] = "DUIF"
    compiles: ClassVar[str] = "milk"

    model: str = option("duif", str, "model", "model to train", choices=("duif",), metavar="NAME")


@dataclass(frozen=True)
class DuifRawSettings(DuifSettings):
    """Settings of DUIF on the raw features."""

    title: ClassVar[str] = "DUIF, raw features"

    model: str = option("duif-raw", str, "model", "model to train", choices=("duif-raw",), metavar="NAME")
