"""What every recommender offers: fitting, vectors to rank with, vectors for items that weren't in the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.config import Settings
from milk_np.data import Dataset
from milk_np.errors import SettingsError
from milk_np.histories import Ids

Vectors = NDArray[np.float32]


class Recommender(ABC):
    """A recommender that scores a user and an item by the dot product of their vectors.

    A user's vector has the same bits whoever else is asked for, so that lists and metrics don't depend on how users are
    cut into batches. So has an item's, unless the model or its imputation says otherwise.
    """

    name: ClassVar[str]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The model that `settings` describe, to be fitted; a model that reads some of them overrides it."""
        return cls()

    @abstractmethod
    def fit(self, ds: Dataset) -> Self:
        """Learn from the training pairs and the features of `ds`; returns the model itself."""

    @abstractmethod
    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`; of all U when None."""

    def user_from_history(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users who weren't in the data, from the numbers of the items that each of them chose.

        Raises SettingsError if the model doesn't describe users by what they chose, DataError for an unknown item.
        """
        raise SettingsError(
            f"{self.name}: its users are known from training alone; histories need --users profile or both, "
            "--preset best, or the model profile"
        )

    @abstractmethod
    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of items of the fitted data; of all I when None."""

    @abstractmethod
    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that were not in the data.

        `features` has the raw rows (n, D_m) of each modality; one that is absent, None or not `available` (n, M) is
        imputed. Raises ModalityError naming a modality of unknown name or wrong width.
        """


class Trainable(Recommender):
    """A recommender that is trained by epochs; `milk_np.training.train` runs it and keeps its checkpoints.

    All random draws are keyed by epoch and step, so a state between two steps is all that resuming needs. What a step
    is, the model decides: a batch of triplets or of items, one optimiser or several in turn. Tables that are learned
    beforehand and graphs are made in `begin`; running means of batch normalisation belong to `state` and
    `parameters`.
    """

    @abstractmethod
    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """`settings`, with `options` changed."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The model that `settings` describe."""
        return cls(settings)

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
