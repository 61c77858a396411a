"""Settings of models that learn by steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from milk_np.settings.option import option
from milk_np.settings.shared import Kind, Settings


@dataclass(frozen=True)
class StepSettings(Settings):
    """What the training loop reads besides."""

    kind: ClassVar[Kind] = "steps"
    searched: ClassVar[bool] = True

    # fmt: off
    lr: float = option(1e-3, float, "training", "learning rate of Adam", aliases=("learning-rate",), above=0)
    epochs: int = option(300, int, "training", "most epochs to train", low=1)
    batch_size: int = option(2048, int, "training", "triplets in a batch, at most", low=1)
    eval_every: int = option(10, int, "training", "epochs between evaluations", low=1)
    patience: int = option(
        3, int, "training", "evaluations without a better valid metric before training stops; 0: never stop",
        aliases=("early-stop",), low=0,
    )
    log_every: int = option(0, int, "machine", "steps between readings of the loss; 0: once an epoch", low=0)
    # fmt: on

    def without_machine(self) -> Self:
        """The settings that decide the result: threads and logging, which don't, are at their defaults."""
        return self.replace(threads=0, log_every=0)
