"""Settings of models that learn by steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from milk_np.settings.option import option
from milk_np.settings.shared import Kind, Settings


@dataclass(frozen=True)
class StepSettings(Settings):
    """Settings of the training loop, on top of those that all models share."""

    kind: ClassVar[Kind] = "steps"
    searched: ClassVar[bool] = True

    # fmt: off
    lr: float = option(1e-3, float, "training", "learning rate of Adam", aliases=("learning-rate",), above=0)
    max_epochs: int = option(300, int, "training", "maximum number of epochs", aliases=("epochs",), low=1)
    batch_size: int = option(2048, int, "training", "maximum triplets per batch", low=1)
    eval_every: int = option(10, int, "training", "epochs between evaluations", low=1)
    patience: int = option(
        3, int, "training",
        "stop after this many evaluations without improvement of the validation metric; 0: never",
        aliases=("early-stop",), low=0,
    )
    log_every: int = option(0, int, "machine", "steps between loss readings; 0: once per epoch", low=0)
    # fmt: on

    @property
    def epochs(self) -> int:
        """The name that `max_epochs` had in version 0.1.0."""
        return self.max_epochs

    def without_machine(self) -> Self:
        """The settings that affect the result; threads and logging, which don't, are at their defaults."""
        return self.replace(threads=0, log_every=0)
