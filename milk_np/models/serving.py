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
from milk_np.serving.identity import IdList, Index
from milk_np.serving.recommend import Ranked
from milk_np.serving.rows import Exclusions

Features = Mapping[str, NDArray[Any] | None]
Owned = NDArray[np.bool_] | None
Excluded = IdList | Mapping[str, IdList] | Mapping[int, IdList]
"""Ids that no list gets, or those that a list doesn't get, by the user or item, or the position, that it is for."""


class Serving(Recommender):
    """Lists of a model with a `catalogue`. Users and items are named by id, in what is asked and in what is found.

    Ids are those of the data, as texts or as whole numbers (17 and "17" are the same id); lists hold texts, and empty
    text where they are padded. Where the data have no ids, users and items are numbered from 0 and -1 pads. Raises
    DataError for an unknown id, naming the most similar one.
    """

    @property
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """The users and items that the model was fitted with."""

    @abstractmethod
    def check_scale(self, features: Features, available: Owned = None) -> None:
        """Warn if the rows of new items are scaled otherwise than in training, where the model minds."""

    def recommend(
        self,
        users: IdList | None = None,
        k: int = 20,
        *,
        candidates: str | IdList = "new",
        exclude_seen: bool = True,
        exclude: Excluded = (),
    ) -> Ranked:
        """The best `k` new items for each of `users` (all by default); see `milk_np.serving.recommend.recommend`.

        `candidates` are "new", "all" or ids; `exclude` are ids that nobody gets, or a dict of them by user.
        """
        known = self.catalogue
        wanted = None if users is None else known.users.numbers(users)
        never = exclusions(exclude, known.users, known.items)
        chosen = self._candidates(candidates)
        found = lists.recommend(self, known, wanted, k, candidates=chosen, exclude_seen=exclude_seen, exclude=never)
        return found.named(known.users.names, known.items.names, "user", "item")

    def recommend_for_histories(
        self, histories: Sequence[IdList], k: int = 20, *, candidates: str | IdList = "new", exclude: Excluded = ()
    ) -> Ranked:
        """The best `k` new items for users who weren't in training, given by the items that each of them chose.

        The queries are positions in `histories`, by which a dict `exclude` goes too.
        """
        known = self.catalogue
        numbers = [known.items.numbers(history) for history in histories]
        never = exclusions(exclude, Index(None, len(histories), "history"), known.items)
        chosen = self._candidates(candidates)
        found = lists.recommend_for_histories(self, known, numbers, k, candidates=chosen, exclude=never)
        return found.named(_as_they_are, known.items.names, "history", "item")

    def recommend_users(self, items: IdList, k: int = 20, *, exclude_seen: bool = True) -> Ranked:
        """The best `k` users for each of `items`; see `milk_np.serving.recommend.users_for_items`."""
        known = self.catalogue
        found = lists.users_for_items(self, known, known.items.numbers(items), k, exclude_seen=exclude_seen)
        return found.named(known.items.names, known.users.names, "item", "user")

    def similar_items(
        self, items: IdList, k: int = 20, *, candidates: str | IdList = "all", exclude: Excluded = ()
    ) -> Ranked:
        """The `k` items most similar to each of `items`; see `milk_np.serving.recommend.similar_items`."""
        known = self.catalogue
        chosen, never = self._candidates(candidates), exclusions(exclude, known.items, known.items)
        found = lists.similar_items(self, known, known.items.numbers(items), k, candidates=chosen, exclude=never)
        return found.named(known.items.names, known.items.names, "item", "similar")

    def score_items(
        self, features: Features, users: IdList | None = None, available: Owned = None
    ) -> NDArray[np.float32]:
        """Scores (n users, n items) of items that weren't in the data, given by raw feature rows (n items, D_m).

        A modality that is left out, None, or not `available` (n items, M) counts as missing.
        """
        known = self.catalogue
        wanted = np.arange(known.n_users) if users is None else known.users.numbers(users)
        vectors = self.encode_items(features, available)  # which checks the rows
        self.check_scale(features, available)
        return lists.score_items(self, known, vectors, wanted)

    def recommend_users_for_new_items(self, features: Features, k: int = 20, available: Owned = None) -> Ranked:
        """The best `k` users for each item that wasn't in the data; `features` as in `score_items`.

        The queries are rows of the features.
        """
        known = self.catalogue
        vectors = self.encode_items(features, available)
        self.check_scale(features, available)
        found = lists.users_for_new_items(self, known, vectors, k)
        return found.named(_as_they_are, known.users.names, "new_item", "user")

    def _candidates(self, candidates: str | IdList) -> str | NDArray[np.int32]:
        """Ids of candidates as numbers; a word that stands for a set of items stays."""
        return candidates if isinstance(candidates, str) else self.catalogue.items.numbers(candidates)


def exclusions(exclude: Excluded, queries: Index, found: Index) -> Exclusions:
    """Ids as numbers: of what no list gets, or of what the list for each of `queries` doesn't get."""
    if not isinstance(exclude, Mapping):
        return Exclusions(items=found.numbers(exclude))
    rows = [found.numbers(ids) for ids in exclude.values()]
    query = np.repeat(queries.numbers(list(exclude)), [len(row) for row in rows])
    return Exclusions(query=query.astype(np.int32), found=np.concatenate([np.zeros(0, np.int32), *rows]))


def _as_they_are(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    return numbers
