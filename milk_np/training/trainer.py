"""What the training loop needs: a trainer that works in steps, and the model that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from milk_np.data.share import Share
from milk_np.serving.ranking import Scorer


class Trainer(ABC):
    """Training by steps; `milk_np.training.loop.train` runs it and keeps its checkpoints.

    All random draws are keyed by epoch and step, so the state between two steps is all that resuming needs. The trainer
    decides what a step is: a batch of triplets or of items, one optimiser or several in turn.

    Attributes
    ----------
    share : Share, optional
        This rank's users, where several ranks train together.
    user_tables : names
        Arrays of the state that have a row for each user, this rank's alone.
    """

    share: Share | None = None
    user_tables: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps per epoch."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Training examples per epoch, for the displayed speed."""

    @abstractmethod
    def step(self, epoch: int, step: int) -> None:
        """Do step `step` (from 0) of `epoch` (from 1)."""

    @abstractmethod
    def losses(self, steps: int) -> dict[str, float]:
        """Means over the first `steps` steps of the current epoch: "total" first, then its parts."""

    def flush(self) -> None:
        """Finish updates that steps have deferred, so that the model's arrays are those of the last step."""
        return None

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `load_state` needs to continue bit for bit between two steps."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`."""

    @abstractmethod
    def diagnosis(self) -> str:
        """Which arrays are no longer finite, and what in the data may be the cause."""


class Learner(Scorer, Protocol):
    """The model in training: used for ranking, kept when it is best, and saved."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of what has been learned."""

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load what `arrays` returned."""

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically."""
