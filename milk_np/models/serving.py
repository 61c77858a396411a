"""Recommending with a fitted or loaded model: no data set is needed, since the model knows its users and items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Recommender
from milk_np.serving import recommend as lists
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.histories import Ids
from milk_np.serving.recommend import Ranked

Features = Mapping[str, NDArray[Any] | None]
Owned = NDArray[np.bool_] | None


class Serving(Recommender):
    """Lists of a model with a `catalogue`. Users and items are numbers; `serving.identity` converts original ids."""

    @property
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """The users and items that the model was fitted with."""

    def recommend(
        self, users: Ids | None = None, k: int = 20, *, candidates: str | Ids = "new", exclude_seen: bool = True
    ) -> Ranked:
        """The best `k` new items for each of `users` (all by default); see `milk_np.serving.recommend.recommend`."""
        return lists.recommend(self, self.catalogue, users, k, candidates=candidates, exclude_seen=exclude_seen)

    def recommend_for_histories(
        self, histories: Sequence[Ids], k: int = 20, *, candidates: str | Ids = "new"
    ) -> Ranked:
        """The best `k` new items for users who weren't in training, given by the items that each of them chose."""
        return lists.recommend_for_histories(self, self.catalogue, histories, k, candidates=candidates)

    def recommend_users(self, items: Ids, k: int = 20, *, exclude_seen: bool = True) -> Ranked:
        """The best `k` users for each of `items`; see `milk_np.serving.recommend.users_for_items`."""
        return lists.users_for_items(self, self.catalogue, items, k, exclude_seen=exclude_seen)

    def similar_items(self, items: Ids, k: int = 20, *, candidates: str | Ids = "all") -> Ranked:
        """The `k` items most similar to each of `items`; see `milk_np.serving.recommend.similar_items`."""
        return lists.similar_items(self, self.catalogue, items, k, candidates=candidates)

    def score_items(self, features: Features, users: Ids | None = None, available: Owned = None) -> NDArray[np.float32]:
        """Scores (n users, n items) of items that weren't in the data, given by raw feature rows (n items, D_m).

        A modality that is left out, None, or not `available` (n items, M) counts as missing.
        """
        wanted = np.arange(self.catalogue.n_users) if users is None else users
        return lists.score_items(self, self.catalogue, self.encode_items(features, available), wanted)

    def recommend_users_for_new_items(self, features: Features, k: int = 20, available: Owned = None) -> Ranked:
        """The best `k` users for each item that wasn't in the data; `features` as in `score_items`."""
        return lists.users_for_new_items(self, self.catalogue, self.encode_items(features, available), k)
