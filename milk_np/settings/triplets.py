"""Settings of models whose vectors are learned from triplets: a user, an item of hers, an item that isn't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space
from milk_np.settings.steps import StepSettings

RATES: Space = {"lr": (5e-3, 1e-2), "reg": (1e-3, 3e-3, 1e-2, 3e-2)}
"""Learning rates and regularisers that are searched."""


@dataclass(frozen=True)
class TripletSettings(StepSettings):
    """What drawing triplets and regularising vectors takes."""

    presets: ClassVar[dict[str, dict[str, Value]]] = {
        "paper": {"negatives": "train"},
        "reference": {"negatives": "all"},
    }

    # fmt: off
    preset: str = option(
        "paper", str, "model", "whose reading of the method: the paper's text, or the authors' program",
        choices=("paper", "reference"),
    )
    dim: int = option(64, int, "model", "latent width K", aliases=("embedding-size",), low=1, high=65536)
    reg: float = option(1e-4, float, "objective", "weight of the squared norms", aliases=("reg-coeff",), low=0)
    reg_scope: str = option(
        "batch", str, "objective", "what the squared norms cover: the batch's vectors, or all parameters",
        choices=("batch", "all"),
    )
    negatives: str | None = option(
        None, str, "objective",
        "items that negatives are drawn from: training items, or all, new ones included",
        choices=("train", "all"), none="from the preset",
    )
    negative_pool: int = option(
        0, int, "objective",
        "items, drawn anew for every batch, that its negatives are confined to: fewer distinct items, so less work; "
        "0: no such limit", low=0,
    )
    # fmt: on

    def described(self) -> dict[str, str]:
        """The sizes beside the model."""
        return {**super().described(), "vectors": f"dim {self.dim}, regulariser {self.reg:g}"}

    def tuning_space(self) -> Space:
        """Learning rate and regulariser."""
        return RATES
