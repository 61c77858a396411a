"""A model with free user vectors and a linear extractor for each modality, learned from triplets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array
from milk_np.data import Dataset, FeatureTable, feature_tables, make_imputer
from milk_np.errors import DataError
from milk_np.files import require
from milk_np.files.schema import FLOATS, Field, Schema
from milk_np.models.base import Vectors
from milk_np.models.extractors import memory
from milk_np.models.extractors.memory_gpu import device_bytes
from milk_np.models.extractors.mixing import EqualMixing, Mixing
from milk_np.models.extractors.objective import BackendTable, Weights
from milk_np.models.extractors.onnx import constant_fills, encoder_onnx
from milk_np.models.extractors.parameters import Parameters, blank_parameters, initial_parameters
from milk_np.models.extractors.shared_step import SharedStep, refuse_unshared
from milk_np.models.extractors.step import Task, TripletStep
from milk_np.models.extractors.trainer import TripletTrainer
from milk_np.models.extractors.users import FreeUsers, Users
from milk_np.models.on_data import OnData
from milk_np.models.serving import Features
from milk_np.models.stepped import SteppedModel
from milk_np.models.stored import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.joining import Joined
from milk_np.settings.shared import Settings
from milk_np.training.sampler import usable_pairs
from milk_np.training.trainer import Trainer

ENCODE_ROWS = 8192


class ExtractorModel(SteppedModel):
    """Users and new items in one space; an item is the mean of its modalities' linear extracts.

    Score of user u and item i: p_u . (1/M) sum_m (x^m_i W^m + b^m), x^m_i imputed and row-normalised. A model may
    change how users are represented, how the modalities are mixed and how the objective's terms are weighted.

    Attributes
    ----------
    settings : TripletSettings
        Everything that affects the result.
    params : Parameters
        P (U, K), W^m (D_m, K), b^m (K), after `fit` or `load`.
    history : History
        Losses and validation metrics of the training, after `fit`.
    """

    described: ClassVar[bool] = True
    schema: ClassVar[Schema] = {
        "P": Field(FLOATS, ("*", "K")),
        "W#": Field(FLOATS, ("*", "K")),
        "b#": Field(FLOATS, ("K",)),
        "scale": Field(FLOATS, (1,), optional=True),
        "profiles": Field(FLOATS, ("U", "K"), optional=True),
        "own_means": Field(FLOATS, ("I", "K"), optional=True),
    }

    scale_matters: ClassVar[bool] = False
    shares_users: ClassVar[bool] = True
    user_tables: ClassVar[frozenset[str]] = frozenset({"P"})
    memory_need: ClassVar[Callable[..., dict[str, int]]] = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """`settings`, changed by `options`; see the model's settings for names, defaults and ranges."""
        super().__init__(settings, **options)
        self.params: Parameters | None = None
        self._tables: list[BackendTable] = []
        self._owned: Array = None

    # What a model may change

    def weights(self) -> Weights:
        """Weights of the objective's terms: the risk and the L2 penalty alone."""
        return Weights(0.0, 0.0, self.settings.reg, all_parameters=self.settings.reg_scope == "all")

    def mixing(self, M: int) -> Mixing:
        """The environments of M modalities: one of equal weights."""
        return EqualMixing(M)

    def new_users(self, ds: Dataset) -> Users:
        """The users' part of an objective on `ds`, with scratch of its own: free vectors."""
        return FreeUsers(self.backend, ds.n_users, ds.n_items)

    def initial(self, ds: Dataset) -> Parameters:
        """Parameters to start from."""
        widths = [ds.features[name].shape[1] for name in ds.modalities]
        first = 0 if self.share is None else self.share.first_user
        sizes = ds.n_users, widths, self.settings.dim
        return initial_parameters(self.backend, *sizes, self.settings.seed, first_user=first)

    def moved(self) -> None:
        """Parameters have changed: values computed from them are computed again when needed."""
        return None

    # Vectors

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of users: rows of P; of all U when None."""
        P = self._fitted().P
        rows = P if users is None else P[self.backend.asarray(users)]
        return np.array(self.backend.to_host(rows), np.float32)

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
        tables = self._new_tables(features, available)
        return self._encode(tables, np.arange(len(tables[0].source), dtype=np.int32))

    def encoder_onnx(self) -> bytes:
        """The item encoder as an ONNX model: raw rows by modality and "owned" (n, M) to "vector" (n, K)."""
        params, imputer, host = self._fitted(), self.fitted_imputer(), self.backend.to_host
        W, b = ([host(array) for array in arrays] for arrays in (params.W, params.b))
        return encoder_onnx(imputer.modalities, constant_fills(imputer), W, b)

    def _new_tables(self, features: Features, available: NDArray[np.bool_] | None) -> list[BackendTable]:
        """Imputed, normalised rows of items that weren't in the data, by modality."""
        imputer = self.fitted_imputer()
        rows = imputer.complete(features, available)
        return [self._table(FeatureTable.complete(rows[name])) for name in imputer.modalities]

    def _encode(self, tables: list[BackendTable], rows: NDArray[np.int32]) -> Vectors:
        """(1/M) sum_m c^m of the items `rows`, by blocks."""
        out = np.empty((len(rows), self.settings.dim), np.float32)
        for block, _, c in self._extracted(tables, rows):
            out[block] = self.backend.to_host(c.mean(axis=0))
        return out

    def _extracted(self, tables: list[BackendTable], rows: NDArray[np.int32]) -> Iterator[tuple[slice, Array, Array]]:
        """Blocks of the items `rows`: positions, the items, and their c (M, n, K), valid until the next block."""
        params, backend = self._fitted(), self.backend
        c = backend.empty((len(tables), min(len(rows), ENCODE_ROWS), self.settings.dim), np.float32)
        for start in range(0, len(rows), ENCODE_ROWS):
            part = backend.asarray(rows[start : start + ENCODE_ROWS])
            for m, table in enumerate(tables):
                backend.kernels.extract(*table, part, params.W[m], params.b[m], c[m, : len(part)])
            yield slice(start, start + len(part)), part, c[:, : len(part)]

    # Training

    def check(self, ds: Dataset) -> None:
        """Raises DeviceError without the device or its memory, DataError if no pair can have a negative."""
        self.backend.require(self._device_bytes(ds))
        if self.share is None:
            usable_pairs(ds, str(self.settings.resolve().negatives))
            return
        refuse_unshared(self.settings)

    def _device_bytes(self, ds: Dataset) -> dict[str, int]:
        return device_bytes(self.settings, ds, self.mixing(len(ds.modalities)).count)

    def trainer(self, ds: Dataset) -> Trainer:
        """Impute and normalise (virtually), initialise parameters, set up the step."""
        self.check(ds)
        settings, backend, need = self.settings, self.backend, self._device_bytes(ds)
        self.imputer = make_imputer(settings.impute).fit(ds)
        self._tables = [self._table(table, sum(need.values())) for table in feature_tables(ds, self.imputer)]
        self.moved()
        self._items, self._catalogue = None, Catalogue.of(ds)
        self._owned = backend.asarray(ds.available)
        self.params = self.initial(ds)
        parts = backend, ds, settings, self._tables, self.params, self.task(ds)
        step = TripletStep(*parts) if self.share is None else SharedStep(*parts, self.share)
        return TripletTrainer(self, step, backend, self.share)

    def task(self, ds: Dataset) -> Task:
        """What the step makes of the triplets of `ds`."""
        return Task(self.weights(), self.mixing(len(ds.modalities)), lambda: self.new_users(ds))

    def arrays(self) -> Arrays:
        """Copies of the parameters on the host."""
        return {name: np.array(self.backend.to_host(array)) for name, array in self._fitted().arrays()}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the parameters that `arrays` returned."""
        self.moved()
        for name, array in self._fitted().arrays():
            array[...] = self.backend.asarray(arrays[name])

    def _extended(self, joined: Joined, met: OnData) -> Arrays:
        """Nothing but items changes: users' vectors stay as trained."""
        return self._saved(self._fitted())

    # Files

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically: parameters, imputer, item vectors, ids and settings."""
        self._write(path, {} if self.params is None else self._saved(self.params))

    def _saved(self, params: Parameters) -> Arrays:
        """Arrays on the host that `_read` reads."""
        return {name: self.backend.to_host(array) for name, array in params.arrays()}

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        require(path, arrays, "P", "W0", "b0")
        M = sum(name.startswith("W") for name in arrays)
        require(path, arrays, *(f"b{m}" for m in range(M)))
        P, widths = arrays["P"], [len(arrays[f"W{m}"]) for m in range(M)]
        expected = self._rows_of_weights(), self.settings.dim
        if (widths, P.shape[1]) != expected:
            raise DataError(
                f"{path}: expected W of widths {expected[0]} and {expected[1]} columns, got {widths} and {P.shape[1]}; "
                "the file is damaged, write it again"
            )
        self.params = blank_parameters(self.backend, len(P), widths, P.shape[1], scaled="scale" in arrays)
        for name, array in self.params.arrays():
            array[...] = self.backend.asarray(arrays[name])

    def _rows_of_weights(self) -> list[int]:
        """Rows of each W: the widths of the modalities."""
        return [*self.fitted_imputer().widths.values()]

    # What is there after fit or load

    def _table(self, table: FeatureTable, reserve: int = 0) -> BackendTable:
        """`table` on the backend, which keeps `reserve` bytes free for what comes after."""
        place, raw = self.backend.asarray, self.backend.features(table.raw, reserve)
        return BackendTable(raw, place(table.fill), place(table.source), place(table.scale))

    def _fitted(self) -> Parameters:
        if self.params is None:
            raise self._unfitted()
        return self.params
