"""Settings of the models without training: the shared ones only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import option
from milk_np.settings.shared import Settings


@dataclass(frozen=True)
class RandomOrderSettings(Settings):
    """Settings of the random order, which uses the seed."""

    title: ClassVar[str] = "random order"
    model: str = option("random", str, "model", "model to rank with", choices=("random",), metavar="NAME")


@dataclass(frozen=True)
class ContentProfileSettings(Settings):
    """Settings of the content profile, which uses `impute`."""

    title: ClassVar[str] = "content profile"
    model: str = option("profile", str, "model", "model to rank with", choices=("profile",), metavar="NAME")


@dataclass(frozen=True)
class MostSimilarSettings(Settings):
    """Settings of most similar content, which uses `impute`."""

    title: ClassVar[str] = "most similar content"
    model: str = option("similar", str, "model", "model to rank with", choices=("similar",), metavar="NAME")
