"""MILK: multimodality invariant learning for new items (Bai et al., SIGIR 2024, doi 10.1145/3626772.3658596)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.data.imputers.base import training_owners
from milk_np.errors import SettingsError
from milk_np.files import require
from milk_np.models.base import Vectors
from milk_np.models.extractors.mixing import Mixing
from milk_np.models.extractors.model import ENCODE_ROWS, ExtractorModel
from milk_np.models.extractors.objective import Weights
from milk_np.models.extractors.parameters import Parameters, initial_parameters
from milk_np.models.extractors.users import Users
from milk_np.models.milk.axes import TableRows, start_at_axes
from milk_np.models.milk.environments import mixing
from milk_np.models.milk.history_vectors import ARRAYS as OF_HISTORIES
from milk_np.models.milk.history_vectors import HistoryVectors
from milk_np.models.milk.memory import milk_bytes, on_device
from milk_np.models.milk.model_signature import MilkSignature
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.milk.users import Histories, make_users
from milk_np.models.on_data import OnData
from milk_np.models.stored import Arrays
from milk_np.serving.histories import Ids
from milk_np.serving.joining import Joined


class Milk(MilkSignature, ExtractorModel):
    """Invariant to which modalities an item has: risks of E environments, and their variance.

    Score of user u and item i: q_u . (1/M) sum_m (x^m_i W^m + b^m), x^m_i imputed and row-normalised. The user's
    vector q_u is a free vector p_u, a profile of their own training items, or the sum (`milk_np.models.milk.users`).

    Attributes
    ----------
    settings : MilkSettings
        Everything that affects the result.
    params : Parameters
        P (U, K), W^m (D_m, K), b^m (K), and g (1) with profiles of users, after `fit` or `load`.
    history : History
        Losses and validation metrics of the training, after `fit`.
    """

    name: ClassVar[str] = "milk"
    memory_need = staticmethod(milk_bytes)

    profiles_new_items: ClassVar[bool] = True
    _history_vectors: HistoryVectors | None = None

    # Vectors of users

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of users: rows of P, profiles of all their training items, or the sum of both."""
        params = self._fitted()
        if params.scale is None:
            return super().user_factors(users)
        known = self._of_histories().users
        known = known if users is None else known[users]
        return known + super().user_factors(users) if len(params.P) else np.array(known)

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors (n, K) of users who weren't in the data, from the items of the data that each of them has.

        The vector is the profile alone: zero if there are no items, and without a free vector for `users="both"`.
        Raises SettingsError if the model's users have no profiles, DataError for an item that isn't in the data.
        """
        if self._fitted().scale is None:
            raise SettingsError(
                "encode_users: this model's users are free vectors, which only training gives; train it with "
                "users='profile' (--users profile) or 'both'"
            )
        return self._of_histories().of(histories)

    @property
    def serves_histories(self) -> bool:
        """Whether users have profiles (`users` "profile" or "both")."""
        return bool(self.settings.users != "free")

    def _of_histories(self) -> HistoryVectors:
        """The profiles under the current parameters."""
        if self._history_vectors is None:
            scale, histories = self.backend.to_host(self._fitted().scale), self.catalogue.csr(Split.TRAIN)
            self._history_vectors = HistoryVectors.build(self.backend, self._own_means(), scale, histories)
        return self._history_vectors

    def _own_means(self) -> Vectors:
        """Mean (I, K) of c^m over each item's available modalities, for all items, in blocks."""
        out = np.empty((self.catalogue.n_items, self.settings.dim), np.float32)
        for block, rows, c in self._extracted(self._tables, np.arange(len(out), dtype=np.int32)):
            out[block] = self._mean_of(c, rows, self._owned)
        return out

    def _mean_of(self, c: Array, rows: Array, owned: Array) -> Vectors:
        """Mean (n, K) of `c` (M, n, K) over what each of the items `rows` of `owned` has, on the host."""
        mean = self.backend.empty(c.shape[1:], np.float32)
        self.backend.kernels.owned_mean(c, rows, owned, mean)
        return np.asarray(self.backend.to_host(mean))

    # Training

    def weights(self) -> Weights:
        """Weights of the objective's terms; those of modules that are left out are zero."""
        return objective_weights(self.settings.resolve())

    def mixing(self, M: int) -> Mixing:
        """The environments of M modalities."""
        return mixing(self.settings, M)

    def _device_bytes(self, ds: Dataset) -> dict[str, int]:
        return on_device(super()._device_bytes(ds), self.settings, ds)

    def new_users(self, ds: Dataset) -> Users:
        """The users' part of an objective on `ds`."""
        kind, place = self.settings.users, self.backend.asarray
        histories = None if kind == "free" else Histories(*map(place, ds.csr(Split.TRAIN)))
        return make_users(kind, self.backend, ds.n_users, place(ds.available), histories)

    def initial(self, ds: Dataset) -> Parameters:
        """Parameters to start from; with profiles of users, the extractors start at the features' principal axes."""
        settings = self.settings
        if settings.users == "free":
            return super().initial(ds)
        widths = [ds.features[name].shape[1] for name in ds.modalities]
        n_users = 0 if settings.users == "profile" else ds.n_users
        params = initial_parameters(self.backend, n_users, widths, settings.dim, settings.seed, scaled=True)
        for m, table in enumerate(self._tables):
            rows = TableRows(table, np.flatnonzero(training_owners(ds, m)).astype(np.int32))
            start_at_axes(self.backend, rows, params.W[m], params.b[m], settings.seed, m)
        return params

    def moved(self) -> None:
        """Parameters have changed: profiles are computed again when needed."""
        self._history_vectors = None

    def _extended(self, joined: Joined, met: OnData) -> Arrays:
        """Profiles of the histories as they are now; new users have no free vector."""
        arrays = super()._extended(joined, met)
        if not self.serves_histories:
            return arrays
        known, now, P = self._of_histories(), joined.catalogue, arrays["P"]
        means = np.vstack([known.means, np.zeros((now.n_items - len(known.means), self.settings.dim), np.float32)])
        means[joined.items] = self._means_on(met)
        if len(P):
            P = np.vstack([P, np.zeros((now.n_users - len(P), P.shape[1]), np.float32)])
        grown = HistoryVectors.build(self.backend, means, np.asarray(arrays["scale"]), now.csr(Split.TRAIN))
        return arrays | {"P": P} | grown.arrays()

    def _means_on(self, met: OnData) -> Vectors:
        """Mean (I, K) of c^m over each item's available modalities, for the items of other data, in blocks."""
        out = np.empty((met.ds.n_items, self.settings.dim), np.float32)
        for start in range(0, len(out), ENCODE_ROWS):
            ids = np.arange(start, min(start + ENCODE_ROWS, len(out)), dtype=np.int32)
            tables, owned = self._new_tables(met.features(ids), met.owned(ids)), self.backend.asarray(met.owned(ids))
            for _, rows, c in self._extracted(tables, ids - np.int32(start)):  # one block
                out[start : start + len(ids)] = self._mean_of(c, rows, owned)
        return out

    # Files

    def _saved(self, params: Parameters) -> Arrays:
        return super()._saved(params) | ({} if params.scale is None else self._of_histories().arrays())

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        if self.settings.users != "free":
            require(path, arrays, *OF_HISTORIES, "scale")
            self._history_vectors = HistoryVectors.from_arrays(self.backend, arrays["scale"], arrays)


def objective_weights(settings: MilkSettings) -> Weights:
    """Weights of the objective's terms under resolved settings, removed modules at zero."""
    return Weights(
        invariance=0.0 if "ceim" in settings.without else settings.invariance_weight,
        alignment=0.0 if "cmam" in settings.without else settings.align_weight,
        regulariser=settings.reg,
        mean=settings.risk == "mean",
        all_parameters=settings.reg_scope == "all",
    )
