"""Settings of models whose vectors are learned from triplets: a user, an item they chose, an item they did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from milk_np.settings.option import Value, option
from milk_np.settings.shared import Space
from milk_np.settings.steps import StepSettings

RATES: Space = {"lr": (5e-3, 1e-2), "reg": (1e-3, 3e-3, 1e-2, 3e-2)}
"""Learning rates and L2 penalties to try when tuning."""


@dataclass(frozen=True)
class TripletSettings(StepSettings):
    """Settings for drawing triplets and for the L2 penalty."""

    presets: ClassVar[dict[str, dict[str, Value]]] = {
        "paper": {"negatives": "train"},
        "reference": {"negatives": "all"},
    }

    # fmt: off
    preset: str = option(
        "paper", str, "model", "paper: as in the paper's text; reference: as in the authors' program",
        choices=("paper", "reference"),
    )
    dim: int = option(64, int, "model", "dimension K of the vectors", aliases=("embedding-size",), low=1, high=65536)
    reg: float = option(1e-4, float, "objective", "weight of the L2 penalty", aliases=("reg-coeff",), low=0)
    reg_scope: str = option(
        "batch", str, "objective", "what the L2 penalty covers: the batch's vectors, or all parameters",
        choices=("batch", "all"),
    )
    negatives: str | None = option(
        None, str, "objective",
        "where negatives come from: training items, or all items including new ones",
        choices=("train", "all"), none="from the preset",
    )
    negative_pool: int = option(
        0, int, "objective",
        "draw each batch's negatives from a random pool of this many items; faster; 0: no pool", low=0,
    )
    # fmt: on

    def described(self) -> dict[str, str]:
        """The shared lines, and the vectors' dimension and L2 penalty."""
        return {**super().described(), "vectors": f"dim {self.dim}, L2 penalty {self.reg:g}"}

    def tuning_space(self) -> Space:
        """Learning rate and L2 penalty."""
        return RATES
