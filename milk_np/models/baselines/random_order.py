"""Random order: the baseline of a model without any information."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.models.base import Recommender, Vectors
from milk_np.models.estimator import Plain
from milk_np.rng import generator
from milk_np.settings.shared import Settings

_WIDTH = 16


class RandomOrder(Plain, Recommender):
    """Users and items get independent normal vectors: every order of the items is as likely as any other.

    Parameters
    ----------
    seed : int
        Seed of the vectors.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._users = np.zeros((0, _WIDTH), np.float32)
        self._items = np.zeros((0, _WIDTH), np.float32)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new model with the seed of the settings."""
        return cls(settings.seed)

    def fit(self, ds: Dataset) -> Self:
        """Draw the vectors of the users and items of `ds`."""
        self.fitted_to = ds
        self._users = self._draw("random-order-users", ds.n_users)
        self._items = self._draw("random-order-items", ds.n_items)
        return self

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors of `users`, or of all, (n, 16)."""
        return self._users if users is None else self._users[users]

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors of `items`, or of all, (n, 16)."""
        return self._items if items is None else self._items[items]

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors of items that weren't in the data, (n, 16), whatever their features."""
        given = [rows for rows in features.values() if rows is not None]
        return self._draw("random-order-new", len(given[0]) if given else 0)

    def _draw(self, stream: str, n: int) -> Vectors:
        return generator(self.seed, stream).standard_normal((n, _WIDTH), dtype=np.float32)
