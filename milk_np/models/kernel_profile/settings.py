"""Settings of the kernel profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import Value, option
from milk_np.settings.shared import Kind, Settings, Space


@dataclass(frozen=True)
class KernelProfileSettings(Settings):
    """What decides the result of a kernel profile."""

    kind: ClassVar[Kind] = "closed form"
    title: ClassVar[str] = "kernel profile"
    presets: ClassVar[dict[str, dict[str, Value]]] = {"best": {}}

    # fmt: off
    model: str = option(
        "kernel-profile", str, "model", "what to train", choices=("kernel-profile",), metavar="NAME",
    )
    preset: str = option("best", str, "model", "this model under its shorter name", choices=("best",))
    profile_width: int = option(1024, int, "kernel-profile", "most numbers in a vector", low=1, high=65536)
    landmarks: int = option(
        1024, int, "kernel-profile", "training items that content is compared with", low=1, high=65536,
    )
    smoothing: float = option(
        100.0, float, "kernel-profile", "ridge of the weights between items that complete a user's history", above=0,
    )
    smoothing_rank: int = option(
        64, int, "kernel-profile", "rank of the weights between items; 0: histories as they are", low=0, high=65536,
    )
    smoothing_power: float = option(
        0.5, float, "kernel-profile",
        "power of an item's popularity that its ridge grows with; 0: one ridge for all", low=0, high=2,
    )
    rarity: float = option(
        0.1, float, "kernel-profile",
        "power of the number of its users by which an item of a history counts less; 0: all count alike", low=0, high=1,
    )
    prior: float = option(
        2.0, float, "kernel-profile",
        "mean items of all histories that are added to every history, and stand in for an empty one", above=0,
    )
    owned_sets: str = option(
        "each", str, "kernel-profile",
        "a regression for each set of modalities that an item can own, or for the whole alone, where a missing "
        "modality counts as the mean", choices=("each", "whole"),
    )
    kernel_scale: float = option(
        1.0, float, "kernel-profile", "how fast similarity falls with the angle between two items' content", above=0,
    )
    kernel_noise: float = option(
        0.0, float, "kernel-profile", "ridge of the regression on content; 0: by ranking training items held out",
        low=0,
    )
    modality_weights: tuple[float, ...] = option(
        (), float, "kernel-profile", "weight of each modality; by leave-one-out error if not given", above=0,
        many="yes", metavar="X,X",
    )
    whitening: tuple[float, ...] = option(
        (), float, "kernel-profile",
        "how far the principal axes of each modality's content, or of all, are made alike, from 0 to 1; "
        "0, 0.5 or 1 by ranking training items held out if not given", low=0, high=1, many="yes", metavar="X,X",
    )
    # fmt: on

    def described(self) -> dict[str, str]:
        """The sizes that decide what a fit costs."""
        form = f"in closed form, width {self.profile_width}, {self.landmarks} landmarks"
        return {"model": self.model, "filled": "a regression for each set of owned modalities", "training": form}

    def tuning_space(self) -> Space:
        """How histories are completed; the rest is chosen from the data."""
        return {"smoothing": (30.0, 100.0, 300.0), "smoothing_rank": (32, 64, 128)}
