"""What the training loop knows: a trainer that goes step by step, and the model that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from milk_np.serving.ranking import Scorer


class Trainer(ABC):
    """Training by steps; `milk_np.training.loop.train` runs it and keeps its checkpoints.

    All random draws are keyed by epoch and step, so a state between two steps is all that resuming needs. What a step
    is, the trainer decides: a batch of triplets or of items, one optimiser or several in turn.
    """

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps that make an epoch."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Training examples that an epoch sees, for the speed that is shown."""

    @abstractmethod
    def step(self, epoch: int, step: int) -> None:
        """Step `step` (from 0) of `epoch` (from 1)."""

    @abstractmethod
    def losses(self, steps: int) -> dict[str, float]:
        """Means over the first `steps` steps of the present epoch: "total" first, then its parts."""

    def flush(self) -> None:
        """Finish what steps have put off, so that the model's arrays are those of the last step."""
        return None

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `load_state` needs to go on from between two steps, to the bit."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from `state`."""

    @abstractmethod
    def diagnosis(self) -> str:
        """Which arrays are no longer finite, and what in the data may be the cause."""


class Learner(Scorer, Protocol):
    """The model in training: what is ranked with, kept when it is best, and saved."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of what has been learned."""

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically."""
