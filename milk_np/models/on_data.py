"""A trained model on other data than its own: users by id or by their history, items by their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset, Imputer
from milk_np.data.arrays import Split
from milk_np.data.rows import row_blocks
from milk_np.errors import DataError
from milk_np.models.base import Vectors
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.histories import Ids
from milk_np.serving.matching import Match, match
from milk_np.serving.prints import MOST_ROWS
from milk_np.serving.ranking import Rows, TopK, chosen_rows
from milk_np.serving.recommend import Historian


class Trained(Historian, Protocol):
    """What a trained model offers to other data."""

    @property
    def catalogue(self) -> Catalogue:
        """The users and items that it knows."""

    @property
    def serves_histories(self) -> bool:
        """Whether `encode_users` works."""

    @property
    def top_k(self) -> TopK:
        """The search on its device."""

    def check_scale(self, features: Any, available: NDArray[np.bool_] | None = None) -> None:
        """Warn if rows are scaled otherwise than in training."""

    def fitted_imputer(self) -> Imputer:
        """Its imputer, which knows the modalities."""

    def encode_items(self, features: Any, available: NDArray[np.bool_] | None = None) -> Vectors:
        """Vectors of items that aren't in its data."""


@dataclass(frozen=True, eq=False)
class OnData:
    """A trained model that ranks the items of `ds` by their features there; users and items are numbers in `ds`.

    A user of the training keeps their vector. One whom the model doesn't know gets the vector of their training items
    in `ds` that the model knows, if it represents users by items.
    """

    model: Trained
    ds: Dataset
    match: Match

    @classmethod
    def of(cls, model: Trained, ds: Dataset) -> OnData:
        """The model on `ds`; DataError if modalities differ, or if users or items without ids can't be matched."""
        widths = {name: int(ds.features[name].shape[1]) for name in ds.modalities}
        trained = model.fitted_imputer().widths
        if trained != widths:
            raise DataError(
                f"--data: modalities: expected {trained} as in training, got {widths}; give data with these features"
            )
        met = cls(model, ds, match(model.catalogue, ds))
        fresh = np.flatnonzero(~met.trained_items)
        fresh = fresh[:: -(-len(fresh) // MOST_ROWS) or 1]
        met.check_scale(met.features(fresh), met.owned(fresh))
        return met

    # Users

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`, or of all. Raises DataError for one that can't be served; see `servable`."""
        ids = np.arange(self.ds.n_users, dtype=np.int32) if users is None else np.asarray(users)
        rows = self.match.users[ids]
        known = rows >= 0
        if known.all():
            return self.model.user_factors(rows)
        lost = ids[~self.servable[ids]]
        if len(lost):
            raise DataError(f"users: {self.why_not(int(lost[0]))} ({len(lost)} in all)")
        fresh = self.model.encode_users(self._histories(ids[~known]))
        out = np.empty((len(ids), fresh.shape[1]), np.float32)
        out[known], out[~known] = self.model.user_factors(rows[known]), fresh
        return out

    @cached_property
    def servable(self) -> NDArray[np.bool_]:
        """Users that have a vector (U,): the model knows them, or it knows an item of their history and serves
        histories."""
        known: NDArray[np.bool_] = self.match.users >= 0
        return known | (np.diff(self._known_items[0]) > 0) if self.model.serves_histories else known

    def why_not(self, user: int) -> str:
        """Why a user has no vector."""
        name = self.ds.user_ids[user] if self.ds.user_ids is not None else user
        text = f"user '{name}' was not in the training"
        if not self.model.serves_histories:
            return f"{text}, and this model has vectors for users of the training only; train again, or --users profile"
        return f"{text}, and no item of their history was either"

    @cached_property
    def _known_items(self) -> Rows:
        """Training items of each user of `ds` as numbers in the model; those that it doesn't know are left out."""
        indptr, items = self.ds.csr(Split.TRAIN)
        numbers = self.match.items[items]
        before = np.concatenate([[0], np.cumsum(numbers >= 0)])
        return before[indptr], numbers[numbers >= 0]

    def _histories(self, users: NDArray[np.int32]) -> list[Ids]:
        indptr, items = chosen_rows(self._known_items, users)
        return list(np.split(items, indptr[1:-1]))

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users given by numbers of items of `ds`; those that the model doesn't know are left out."""
        numbers = [self.match.items[np.asarray(items, np.int64)] for items in histories]
        return self.model.encode_users([each[each >= 0] for each in numbers])

    @property
    def serves_histories(self) -> bool:
        """Whether `encode_users` works."""
        return self.model.serves_histories

    # Items

    @cached_property
    def trained_items(self) -> NDArray[np.bool_]:
        """Items of `ds` that the model learned from, or whose pairs it has seen, (I,)."""
        known = self.match.items >= 0
        out = np.zeros(self.ds.n_items, np.bool_)
        out[known] = self.model.catalogue.touched[self.match.items[known]]
        return out

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `items`, or of all, encoded from their features in blocks."""
        ids = np.arange(self.ds.n_items, dtype=np.int32) if items is None else items
        widest = max(rows.shape[1] for rows in self.ds.features.values())
        blocks = [self._encode(ids[block]) for block in row_blocks(len(ids), widest)]
        return np.concatenate(blocks) if blocks else self.model.item_factors(ids)

    def encode_items(self, features: Any, available: NDArray[np.bool_] | None = None) -> Vectors:
        """Vectors (n, K) of items that aren't in the data; see `Recommender.encode_items`."""
        return self.model.encode_items(features, available)

    def check_scale(self, features: Any, available: NDArray[np.bool_] | None = None) -> None:
        """Warn if the rows of new items are scaled otherwise than in training, where the model minds."""
        self.model.check_scale(features, available)

    def _encode(self, ids: NDArray[np.int32]) -> Vectors:
        return self.model.encode_items(self.features(ids), self.owned(ids))

    def features(self, ids: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Raw rows (n, D_m) of `ids` by modality."""
        return {name: self.ds.features[name][ids] for name in self.ds.modalities}

    def owned(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Which of `ids` has which of the model's modalities (n, M)."""
        order = [self.ds.modalities.index(name) for name in self.model.fitted_imputer().modalities]
        owned: NDArray[np.bool_] = self.ds.available[ids][:, order]
        return owned

    @property
    def top_k(self) -> TopK:
        """The search for the best items on the model's device."""
        return self.model.top_k
