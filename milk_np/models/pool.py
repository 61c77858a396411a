"""A model and new items that aren't in its data, ranked together with those that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import SettingsError
from milk_np.models.base import Vectors
from milk_np.models.serving import Features, Owned, Serving
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.histories import Ids as Numbers
from milk_np.serving.ranking import TopK, search_of
from milk_np.serving.recommend import Historian


class Encoder(Historian, Protocol):
    """A model that also encodes items that aren't in the data."""

    @property
    def serves_histories(self) -> bool:
        """Whether `encode_users` works; see `Recommender.serves_histories`."""

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of the items; see `Recommender.encode_items`."""


class Pool(Serving):
    """What `Serving` offers, over the items of a model's data and n more, which count as new.

    Users are those of the data. Where a history names an item that was added, it is left out of the list, and says
    nothing of the user.
    """

    name: ClassVar[str] = "pool"

    def __init__(self, model: Encoder, known: Catalogue, ids: Sequence[str] | None, vectors: Vectors) -> None:
        """`known` are the users and items of `model`, `vectors` (n, K) those of the items to add, `ids` theirs.

        Raises DataError for items without ids where those of the data have ids.
        """
        self._model, self._vectors, self._n = model, vectors, known.n_items
        self._catalogue = known.with_items(ids, len(vectors))

    @property
    def catalogue(self) -> Catalogue:
        """Users of the data; its items, and then those that were added."""
        return self._catalogue

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`; of all U when None."""
        return self._model.user_factors(users)

    def encode_users(self, histories: Sequence[Numbers]) -> Vectors:
        """Vectors (n, K) of users by their items; what was added says nothing of them."""
        return self._model.encode_users([np.asarray(each)[np.asarray(each) < self._n] for each in histories])

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `items`; of all when None."""
        ids = np.arange(self._catalogue.n_items, dtype=np.int32) if items is None else np.asarray(items)
        own = ids < self._n
        out = np.empty((len(ids), self._vectors.shape[1]), np.float32)
        out[own], out[~own] = self._model.item_factors(ids[own]), self._vectors[ids[~own] - self._n]
        return out

    def encode_items(self, features: Features, available: Owned = None) -> Vectors:
        """Vectors (n, K) of items that are in neither; see `Recommender.encode_items`."""
        return self._model.encode_items(features, available)

    def check_scale(self, features: Features, available: Owned = None) -> None:
        """Warn as the model does."""
        check = getattr(self._model, "check_scale", None)
        if check is not None:
            check(features, available)

    @property
    def serves_histories(self) -> bool:
        """Whether `encode_users` works."""
        return bool(getattr(self._model, "serves_histories", False))

    @property
    def servable(self) -> NDArray[np.bool_] | None:
        """Users that have a vector (U,); None if all have."""
        found: NDArray[np.bool_] | None = getattr(self._model, "servable", None)
        return found

    @property
    def top_k(self) -> TopK:
        """The model's search."""
        return search_of(self._model)

    def fit(self, ds: Dataset) -> NoReturn:
        """A pool isn't fitted: SettingsError."""
        raise SettingsError("pool: fit the model, and make a new pool of it (model.with_items)")


def catalogue_of(known: Any) -> Catalogue:
    """The catalogue of a data set or of a model, for ranking."""
    if isinstance(known, Catalogue):
        return known
    indptr, items = known.csr(Split.TRAIN)
    return Catalogue(known.item_split, indptr, items, known.user_ids, known.item_ids)
