"""MILK: multimodality invariant learning for new items (Bai et al., SIGIR 2024, doi 10.1145/3626772.3658596)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.backends.select import get_backend
from milk_np.data import Dataset, FeatureTable, feature_tables, make_imputer
from milk_np.data.arrays import Split
from milk_np.data.imputers.base import training_owners
from milk_np.errors import SettingsError
from milk_np.files import require
from milk_np.models.base import Vectors
from milk_np.models.milk import memory
from milk_np.models.milk.axes import Rows, start_at_axes
from milk_np.models.milk.history_vectors import ARRAYS as OF_HISTORIES
from milk_np.models.milk.history_vectors import HistoryVectors
from milk_np.models.milk.memory_gpu import device_bytes
from milk_np.models.milk.objective import Table
from milk_np.models.milk.parameters import Parameters, blank_parameters, initial_parameters
from milk_np.models.milk.step import MilkStep
from milk_np.models.milk.trainer import MilkTrainer
from milk_np.models.stepped import SteppedModel
from milk_np.models.stored import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.histories import Ids
from milk_np.serving.ranking import TopK
from milk_np.settings.shared import Settings
from milk_np.training.sampler import usable_pairs
from milk_np.training.trainer import Trainer

ENCODE_ROWS = 8192


class Milk(SteppedModel):
    """Users and new items in one space; an item is the mean of its modalities' linear extracts.

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
    scale_matters: ClassVar[bool] = False
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """`settings`, changed by `options`; see `MilkSettings` for names, defaults and ranges."""
        super().__init__(settings, **options)
        self.params: Parameters | None = None
        self._tables: list[Table] = []
        self._owned: Array = None
        self._history_vectors: HistoryVectors | None = None
        self._lazy_backend: Backend | None = None

    # Vectors

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of users: rows of P, profiles of all their training items, or the sum of both."""
        params, backend = self._fitted(), self._backend
        P = params.P if users is None or not len(params.P) else params.P[backend.asarray(users)]
        free = np.array(backend.to_host(P), np.float32)
        if params.scale is None:
            return free
        known = self._of_histories().users
        known = known if users is None else known[users]
        return known + free if len(params.P) else np.array(known)

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
        return self.settings.users != "free"

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Fused vectors (n, K) of items of the fitted data; of all I when None."""
        self._fitted()
        if not self._tables:
            stored = self._stored_items()
            return np.array(stored if items is None else stored[items])
        rows = np.arange(len(self._tables[0].source)) if items is None else items
        return self._encode(self._tables, np.asarray(rows, np.int32))

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Fused vectors (n, K) of items that weren't in the data; see `Recommender.encode_items`."""
        imputer = self.fitted_imputer()
        rows = imputer.complete(features, available)
        tables = [self._table(FeatureTable.complete(rows[name])) for name in imputer.modalities]
        return self._encode(tables, np.arange(len(tables[0].source), dtype=np.int32))

    def _encode(self, tables: list[Table], rows: NDArray[np.int32]) -> Vectors:
        """(1/M) sum_m c^m of the items `rows`, by blocks."""
        out = np.empty((len(rows), self.settings.dim), np.float32)
        for block, _, c in self._extracted(tables, rows):
            out[block] = self._backend.to_host(c.mean(axis=0))
        return out

    def _own_means(self) -> Vectors:
        """Mean (I, K) of c^m over each item's available modalities, for all items, in blocks."""
        out = np.empty((self.catalogue.n_items, self.settings.dim), np.float32)
        for block, rows, c in self._extracted(self._tables, np.arange(len(out), dtype=np.int32)):
            self._backend.kernels.owned_mean(c, rows, self._owned, out[block])
        return out

    def _extracted(self, tables: list[Table], rows: NDArray[np.int32]) -> Iterator[tuple[slice, Array, Array]]:
        """Blocks of the items `rows`: positions, the items, and their c (M, n, K), valid until the next block."""
        params, backend = self._fitted(), self._backend
        c = backend.empty((len(tables), min(len(rows), ENCODE_ROWS), self.settings.dim), np.float32)
        for start in range(0, len(rows), ENCODE_ROWS):
            part = backend.asarray(rows[start : start + ENCODE_ROWS])
            for m, table in enumerate(tables):
                backend.kernels.extract(*table, part, params.W[m], params.b[m], c[m, : len(part)])
            yield slice(start, start + len(part)), part, c[:, : len(part)]

    @property
    def top_k(self) -> TopK:
        """The search for the best items on the model's device."""
        return self._backend.top_k

    # Training

    def check(self, ds: Dataset) -> None:
        """Raises DeviceError without the device or its memory, DataError if no pair can have a negative."""
        self._backend.require(device_bytes(self.settings, ds))
        usable_pairs(ds, str(self.settings.resolve().negatives))

    def trainer(self, ds: Dataset) -> Trainer:
        """Impute and normalise (virtually), initialise parameters, set up the step."""
        self.check(ds)
        settings, backend, need = self.settings, self._backend, device_bytes(self.settings, ds)
        self.imputer = make_imputer(settings.impute).fit(ds)
        self._tables = [self._table(table, sum(need.values())) for table in feature_tables(ds, self.imputer)]
        self._items, self._history_vectors, self._catalogue = None, None, Catalogue.of(ds)
        self._owned = backend.asarray(ds.available)
        self.params = self._initial(ds)
        return MilkTrainer(self, MilkStep(backend, ds, settings, self._tables, self.params), backend)

    def _initial(self, ds: Dataset) -> Parameters:
        """Parameters to start from; with profiles of users, the extractors start at the features' principal axes."""
        settings, by_history = self.settings, self.settings.users != "free"
        widths = [ds.features[name].shape[1] for name in ds.modalities]
        n_users = 0 if settings.users == "profile" else ds.n_users
        params = initial_parameters(self._backend, n_users, widths, settings.dim, settings.seed, scaled=by_history)
        for m, table in enumerate(self._tables if by_history else []):
            rows = Rows(table, np.flatnonzero(training_owners(ds, m)).astype(np.int32))
            start_at_axes(self._backend, rows, params.W[m], params.b[m], settings.seed, m)
        return params

    def moved(self) -> None:
        """Parameters have changed: values computed from them are computed again when needed."""
        self._history_vectors = None

    def _of_histories(self) -> HistoryVectors:
        """The profiles under the current parameters."""
        if self._history_vectors is None:
            scale, histories = np.asarray(self._fitted().scale), self.catalogue.csr(Split.TRAIN)
            self._history_vectors = HistoryVectors.build(self._backend, self._own_means(), scale, histories)
        return self._history_vectors

    def arrays(self) -> Arrays:
        """Copies of the parameters on the host."""
        return {name: np.array(self._backend.to_host(array)) for name, array in self._fitted().arrays()}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the parameters that `arrays` returned."""
        self.moved()
        for name, array in self._fitted().arrays():
            array[...] = self._backend.asarray(arrays[name])

    # Files

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically: parameters, imputer, item vectors, ids and settings."""
        arrays: dict[str, Any] = {}
        if self.params is not None:
            arrays |= {name: self._backend.to_host(array) for name, array in self.params.arrays()}
            arrays |= {} if self.params.scale is None else self._of_histories().arrays()
        self._write(path, arrays)

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        require(path, arrays, "P", "W0", "b0")
        M = sum(name.startswith("W") for name in arrays)
        require(path, arrays, *(f"b{m}" for m in range(M)))
        place = self._backend.asarray
        widths = [len(arrays[f"W{m}"]) for m in range(M)]
        P, by_history = arrays["P"], self.settings.users != "free"
        require(path, arrays, *((*OF_HISTORIES, "scale") if by_history else ()))
        self.params = blank_parameters(self._backend, len(P), widths, P.shape[1], scaled=by_history)
        for name, array in self.params.arrays():
            array[...] = place(arrays[name])
        if by_history:
            self._history_vectors = HistoryVectors.from_arrays(self._backend, arrays["scale"], arrays)

    # What is there after fit or load

    @property
    def _backend(self) -> Backend:
        """Backend of `settings.device`, looked for when it is first needed."""
        if self._lazy_backend is None:
            self._lazy_backend = get_backend(self.settings.training_device, self.settings.threads)
        return self._lazy_backend

    def _table(self, table: FeatureTable, reserve: int = 0) -> Table:
        """`table` on the backend, which keeps `reserve` bytes free for what comes after."""
        place, raw = self._backend.asarray, self._backend.features(table.raw, reserve)
        return Table(raw, place(table.fill), place(table.source), place(table.scale))

    def _fitted(self) -> Parameters:
        if self.params is None:
            raise self._unfitted()
        return self.params
