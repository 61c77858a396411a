"""A model of named tables whose item vectors are computed from one row of content an item."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array
from milk_np.data import Dataset, make_imputer
from milk_np.data.arrays import Split
from milk_np.files import require
from milk_np.files.schema import FLOATS, Field, Schema
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.base import Vectors, data_sizes
from milk_np.models.content_memory import ON_DEVICE
from milk_np.models.inputs import BLOCK, STATE, Inputs
from milk_np.models.stepped import SteppedModel
from milk_np.models.stored import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.settings.shared import Settings
from milk_np.training.pretraining.cache import Pretrained, pretrained
from milk_np.training.sampler import usable_pairs
from milk_np.training.trainer import Trainer

Tables = dict[str, Array]


@contextmanager
def _quiet() -> Iterator[None]:
    """One BLAS thread, and no warning of what overflows: who asked for vectors checks that they are finite."""
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        yield


_PREFIX = "table_"


class ContentModel(SteppedModel):
    """What a system adds: tables to start from, a trainer, and the vectors of users and items.

    Vectors of all users are computed together, those of all training items and those of all other items of the data,
    once for each state of the tables, and with one BLAS thread: a vector has the same bits whoever is asked for
    besides, on any number of threads. Vectors of items that weren't in the data agree with them to rounding.
    """

    schema: ClassVar[Schema] = {"input_clip": Field(FLOATS, (), finite=False)}

    names: ClassVar[tuple[str, ...]]
    """Names of all tables."""
    scale_matters: ClassVar[bool] = False
    frozen: ClassVar[tuple[str, ...]] = ()
    """Those that training doesn't move."""

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """`settings`, changed by `options`; see the model's settings for names, defaults and ranges."""
        super().__init__(settings, **options)
        self.tables: Tables = {}
        self._inputs: Inputs | None = None
        self._x: Array = None
        self._made: dict[str, Vectors] = {}
        self._fixed: dict[Any, Any] = {}  # what training doesn't move and a system makes once for its data

    # What a system says

    @abstractmethod
    def start(self, ds: Dataset, D: int) -> Arrays:
        """The tables to start from, on the host, for rows of D numbers of content."""

    @abstractmethod
    def learner(self, ds: Dataset, x: Array) -> Trainer:
        """The trainer that moves `self.tables`; x (I, D) are the rows of content."""

    @abstractmethod
    def users_of(self, tables: Tables) -> Array:
        """Vectors (U, K) of all users."""

    @abstractmethod
    def items_of(self, tables: Tables, x: Array, ids: Array | None) -> Array:
        """Vectors (n, K) of items with content x (n, D): `ids` (n) of the data, or new ones if None."""

    def laid_out(self, x: Vectors, available: NDArray[np.bool_]) -> Vectors:
        """Rows x (n, D) as the system takes them; `available` (n, M) says what isn't imputed."""
        return x

    # What it gets

    def check(self, ds: Dataset) -> None:
        """Raises DeviceError without the device or its memory, DataError if no pair can have a negative."""
        need = self.memory_need(self.settings, **data_sizes(ds))
        self.backend.require({name: need[name] for name in ON_DEVICE})
        usable_pairs(ds, "train")

    def trainer(self, ds: Dataset) -> Trainer:
        """Impute and lay out the content, make the tables, set up the steps."""
        self.check(ds)
        self.imputer, self._catalogue = make_imputer(self.settings.impute).fit(ds), Catalogue.of(ds)
        self._inputs, x = Inputs.fit(ds, self.imputer, self.settings.content)
        self._items, self._x = None, self.backend.asarray(self.laid_out(x, ds.available))
        self._fixed = {}
        start = self.start(ds, x.shape[1])
        self.tables = {name: self._placed(start[name]) for name in self.names}
        self.moved()
        return self.learner(ds, self._x)

    def pretrained(self, ds: Dataset) -> Pretrained:
        """The tables of `settings.backbone`, learned or found."""
        found = pretrained(self.backend, ds, self.settings, self.beside)
        self.spared = found.spared
        return found.tables

    def moved(self) -> None:
        """The tables have changed: vectors are computed again when they are needed."""
        self._made = {}

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of `users`; of all U when None."""
        self._fitted()
        if "users" not in self._made:
            with _quiet():
                self._made["users"] = self._home(self.users_of(self.tables))
        return np.array(self._made["users"] if users is None else self._made["users"][users])

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of items of the fitted data; of all I when None."""
        self._fitted()
        if self._x is None:
            made = self._stored_items()
        else:
            return self._of_data(np.arange(len(self._x), dtype=np.int32) if items is None else items)
        return np.array(made if items is None else made[items])

    def _of_data(self, items: NDArray[np.int32]) -> Vectors:
        """Vectors of `items` of the data; training items are left out of an evaluation, which asks for none."""
        old = self.catalogue.item_split == Split.TRAIN
        place = np.where(old, np.cumsum(old), np.cumsum(~old)) - 1
        groups = {kind: self._group(kind, old) for kind in (True, False) if (old[items] == kind).any()}
        some = next(iter(groups.values())) if groups else self._group(False, old)
        out = np.empty((len(items), some.shape[1]), np.float32)
        for kind, made in groups.items():
            mine = old[items] == kind
            out[mine] = made[place[items[mine]]]
        return out

    def _group(self, kind: bool, old: NDArray[np.bool_]) -> Vectors:
        """Vectors of the training items, or of all others."""
        name = "training items" if kind else "other items"
        if name not in self._made:
            self._made[name] = self._encoded(self._x, np.flatnonzero(old == kind).astype(np.int32))
        return self._made[name]

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that weren't in the data; see `Recommender.encode_items`."""
        self._fitted()
        if self._inputs is None:
            raise self._unfitted()
        imputer = self.fitted_imputer()
        x = self._inputs.of_new(imputer, features, available)
        x = self.laid_out(x, imputer.checked(features, available)[1])
        return self._encoded(self.backend.asarray(x))

    def _encoded(self, x: Array, ids: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors of the rows x (n, D) of new items, or of the items `ids` of the data, block by block."""
        made, place = [], self.backend.asarray
        with _quiet():
            for first in range(0, max(1, len(x if ids is None else ids)), BLOCK):
                part = slice(first, first + BLOCK)
                mine = None if ids is None else place(ids[part])
                made.append(self._home(self.items_of(self.tables, x[part] if mine is None else x[mine], mine)))
        return np.concatenate(made)

    def _home(self, array: Array) -> Vectors:
        return np.asarray(self.backend.to_host(array), np.float32)

    def _placed(self, array: NDArray[Any]) -> Array:
        """The array on the device, in memory of its own."""
        return self.backend.copy(self.backend.asarray(array))

    def _fitted(self) -> Tables:
        if not self.tables:
            raise self._unfitted()
        return self.tables

    # Files

    def arrays(self) -> Arrays:
        """Copies of the tables that training moves, on the host."""
        tables = self._fitted()
        return {name: np.array(self.backend.to_host(tables[name])) for name in self.names if name not in self.frozen}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the tables that `arrays` returned."""
        self.moved()
        for name, array in self._fitted().items():
            if name not in self.frozen:
                array[...] = self.backend.asarray(arrays[name])

    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically: tables, inputs, imputer, item vectors, ids and settings."""
        tables = {_PREFIX + name: self.backend.to_host(x) for name, x in self.tables.items()}
        self._write(path, tables | ({} if self._inputs is None else self._inputs.state()))

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        require(path, arrays, *STATE, *(_PREFIX + name for name in self.names))
        self._inputs = Inputs.from_state(arrays)
        self.tables = {name: self._placed(arrays[_PREFIX + name]) for name in self.names}
