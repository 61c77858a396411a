"""What every recommender offers: fitting, vectors to rank with, vectors for users and items not in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import DataError, SettingsError
from milk_np.ranks.group import ALONE, Ranks
from milk_np.serving.histories import Ids
from milk_np.serving.ranking import Scorer
from milk_np.settings.shared import Settings

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
"""What is solved or chosen in double precision."""


class Recommender(ABC):
    """A recommender that scores a user and an item by the dot product of their vectors.

    A user's vector has the same bits whichever other users are requested, so that lists and metrics don't depend on how
    users are batched. The same holds for items, unless the model or its imputation says otherwise.
    """

    name: ClassVar[str]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new model with these settings, not fitted yet; a model that reads settings overrides this."""
        return cls()

    fitted_to: Any = None
    """The data that a model without training was fitted on."""
    memory_need: ClassVar[Callable[..., dict[str, int]]] = staticmethod(lambda settings, **sizes: {})
    """Bytes of host memory that fitting under `settings` needs on top of the loaded data set, by purpose; `sizes` come
    from `data_sizes`. Empty if a model doesn't state its need."""
    memory_advice: ClassVar[Mapping[str, str]] = {}
    """By purpose, how to reduce the need."""

    shares_users: ClassVar[bool] = False
    """Whether several ranks can train the model together, each with its own users."""

    shares_sums: ClassVar[bool] = False
    """Whether several ranks can fit the model together, each of them having all data."""

    ranks: Ranks = ALONE
    """The processes that fit the model together; set before `fit`."""

    def check(self, ds: Dataset) -> None:  # noqa: B027 - a model without conditions has nothing to check
        """Raise the error that `fit(ds)` would begin with: a device that can't be used, data that don't suit.

        `milk-train` calls it before it makes the run's folder.
        """

    @property
    def serves_histories(self) -> bool:
        """Whether `encode_users` works: the model represents users by items."""
        return False

    def on(self, ds: Dataset) -> Scorer:
        """The model on the users and items of `ds`. A model that knows ids may be fitted on other data, and overrides
        this; others rank the data of their `fit` alone: DataError for others."""
        if self.fitted_to not in (None, ds) and self.fitted_to.content_hash != ds.content_hash:
            raise DataError(f"{self.name}: was fitted on other data, and needs no training: fit it on these")
        return self

    @abstractmethod
    def fit(self, ds: Dataset) -> Self:
        """Learn from the training pairs and the features of `ds`; returns the model itself."""

    @abstractmethod
    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`; of all U when None."""

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users who weren't in the data, from the numbers of the items that each of them chose.

        Raises SettingsError if the model doesn't represent users by items, DataError for an unknown item.
        """
        raise SettingsError(
            f"{self.name}: has vectors for training users only; histories need a model that makes users' vectors from "
            "their items: docs/models.md says which do"
        )

    @abstractmethod
    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of items of the fitted data; of all I when None."""

    @abstractmethod
    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that were not in the data.

        `features` has the raw rows (n, D_m) of each modality; one that is left out, None or not `available` (n, M) is
        imputed. Raises ModalityError for a modality of unknown name or wrong width.
        """


def data_sizes(ds: Dataset) -> dict[str, Any]:
    """Sizes of a data set that determine the memory needed."""
    return {
        "n_users": ds.n_users,
        "n_items": ds.n_items,
        "n_new_items": len(ds.new_items()),
        "n_train_pairs": int((ds.split == Split.TRAIN).sum()),
        "widths": [int(ds.features[name].shape[1]) for name in ds.modalities],
    }
