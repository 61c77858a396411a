"""What models share that are fitted in one pass and know a user by their history alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.models.base import Vectors
from milk_np.models.stored import Arrays, StoredModel
from milk_np.serving.histories import Ids, compressed
from milk_np.serving.ranking import chosen_rows


class HistoryModel(StoredModel):
    """Users are described by what they chose, so that one who wasn't in the training is like one who was.

    A fit puts all that it learned into `_arrays`, and replaces that as a whole.
    """

    _arrays: Arrays = {}  # noqa: RUF012 - replaced as a whole

    @abstractmethod
    def _profiles(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> Vectors:
        """Vectors (n, K) of users with the compressed rows of items (indptr: n + 1)."""

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of users by their training items; who has none ranks items like the mean user."""
        indptr, items = self.catalogue.csr(Split.TRAIN)
        if users is not None:
            indptr, items = chosen_rows((indptr, items), np.asarray(users))
        return self._profiles(indptr, items)

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users who weren't in the data, from the numbers of the items they chose.

        New items among them say nothing; who has no others ranks items like the mean user. Raises DataError for an item
        out of range.
        """
        return self._profiles(*compressed(histories, self.catalogue.n_items))

    @property
    def serves_histories(self) -> bool:
        """Always: a user is their history."""
        return True

    def arrays(self) -> Arrays:
        """The parameters, which nothing overwrites."""
        return dict(self._arrays)

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        self._arrays = dict(arrays)

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically."""
        self._write(path, self._arrays)

    def _fitted(self) -> Arrays:
        if not self._arrays:
            raise self._unfitted()
        return self._arrays
