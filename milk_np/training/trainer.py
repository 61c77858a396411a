"""What the training loop knows of a model: steps, losses, a state that goes out and in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.serving.ranking import Scorer


class Trainer(Scorer, ABC):
    """A model that is trained by epochs; `milk_np.training.loop.train` runs it and keeps its checkpoints.

    All random draws are keyed by epoch and step, so a state between two steps is all that resuming needs. What a step
    is, the model decides: a batch of triplets or of items, one optimiser or several in turn. Tables that are learned
    beforehand and graphs are made in `begin`; running means of batch normalisation belong to `state` and
    `parameters`.
    """

    @abstractmethod
    def begin(self, ds: Dataset) -> None:
        """Set up parameters and data for training on `ds`."""

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Steps that make an epoch."""

    @property
    @abstractmethod
    def triplets_per_epoch(self) -> int:
        """Training examples that an epoch sees."""

    @property
    def most_epochs(self) -> int | None:
        """Epochs after which nothing would change any more: 1 for a closed form; None if there is no such number."""
        return None

    @abstractmethod
    def train_step(self, epoch: int, step: int) -> None:
        """Step `step` (from 0) of `epoch` (from 1)."""

    @abstractmethod
    def losses(self, steps: int) -> dict[str, float]:
        """Means over the first `steps` steps of the present epoch of the objective's parts; "total" is one of them."""

    @abstractmethod
    def settle(self) -> None:
        """Finish what training has put off, so that the parameters are those of the last step."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `load_state` needs to go on from between two steps, to the bit."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from `state`."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Copies of the parameters, for `restore`."""

    @abstractmethod
    def restore(self, parameters: Mapping[str, Any]) -> None:
        """Put copies made by `parameters` back."""

    @abstractmethod
    def diagnosis(self) -> str:
        """Which parameters are no longer finite, and what in the data may be the cause."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically; `milk_np.models.load` reads it back."""
