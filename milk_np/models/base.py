"""What every recommender offers: fitting, vectors to rank with, vectors for users and items that are new to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import SettingsError
from milk_np.serving.histories import Ids
from milk_np.settings.shared import Settings

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

    memory_need: ClassVar[Callable[..., dict[str, int]]] = staticmethod(lambda settings, **sizes: {})
    """Bytes of the host that fitting under `settings` adds to the loaded data set, by purpose; `sizes` as `data_sizes`
    gives them. Nothing where a model doesn't tell."""
    memory_advice: ClassVar[Mapping[str, str]] = {}
    """By purpose, what makes its need smaller."""

    @abstractmethod
    def fit(self, ds: Dataset) -> Self:
        """Learn from the training pairs and the features of `ds`; returns the model itself."""

    @abstractmethod
    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`; of all U when None."""

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
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


def data_sizes(ds: Dataset) -> dict[str, Any]:
    """Sizes of a data set that memory needs follow from."""
    return {
        "n_users": ds.n_users,
        "n_items": ds.n_items,
        "n_new_items": len(ds.new_items()),
        "n_train_pairs": int((ds.split == Split.TRAIN).sum()),
        "widths": [int(ds.features[name].shape[1]) for name in ds.modalities],
    }
