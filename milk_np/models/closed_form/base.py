"""What the quick rivals share: one pass over the data, files, users described by what they chose."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from milk_np.data import Dataset, make_imputer
from milk_np.data.arrays import Split
from milk_np.data.imputers.base import training_owners
from milk_np.data.rows import mean_row
from milk_np.files import require
from milk_np.files.schema import FLOATS, Field, check
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.base import Vectors
from milk_np.models.by_history import HistoryModel
from milk_np.models.closed_form.memory import ADVICE, training_bytes
from milk_np.models.closed_form.rows import content_rows
from milk_np.models.stored import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.training.progress import Callbacks, Phases
from milk_np.training.run_folder import RunFolder

_OF_TRAINING_ITEMS = {"history", "items_learned", "known"}
"""Arrays of models that have a row for each training item."""
Sparse = Any
"""A matrix of ones in compressed rows, (n, training items)."""


@dataclass(frozen=True, eq=False)
class Training:
    """What a model learns from: content X (n, D) of the training items, the widths D_m of its parts, pairs R (U, n)."""

    X: Vectors
    widths: tuple[int, ...]
    R: Sparse


class ClosedForm(HistoryModel):
    """A model fitted in one pass on the host; the search for the best items runs on `device`.

    The bits of a fit don't depend on the number of threads. A user's vector is the same to the bit whichever others
    are asked for, and that of a new user with the same history; an item's vector may differ by rounding (float32) when
    other items are encoded with it, which is a product of BLAS.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    """Names of the model's own arrays; all are float64 but what `_learn` says otherwise."""
    memory_need = staticmethod(training_bytes)
    memory_advice = ADVICE

    # What a model does

    @abstractmethod
    def _learn(self, data: Training) -> Arrays:
        """The arrays named by `parameters`."""

    @abstractmethod
    def _encode(self, rows: Vectors) -> Vectors:
        """Vectors (n, K) of items with content `rows` (n, D)."""

    @abstractmethod
    def _describe(self, pairs: Sparse) -> Vectors:
        """Vectors (n, K) of users with the training items `pairs`; a row without any is overwritten."""

    # Fitting

    def fit(
        self,
        ds: Dataset,
        *,
        callback: Callbacks = None,
        run: RunFolder | None = None,
        resume: bool = False,
        final: bool = False,
    ) -> Self:
        """Fit; a signal ends it where it stands. There is nothing to `resume` from: it starts anew.

        A `final` model is fitted on all items that have pairs.
        """
        ds = ds.all_training() if final else ds
        with Phases.of(callback, self.settings) as phases:
            self._fit(ds, phases)
            if run is not None:
                self.save(run.model)
        return self

    def _fit(self, ds: Dataset, phases: Phases) -> None:
        phases("content of the items", 0.0)
        self._catalogue, self.imputer = Catalogue.of(ds), make_imputer(self.settings.impute).fit(ds)
        self._arrays, self._items = _centres(ds), None
        with one_blas_thread():
            rows = self._content(self.imputer.complete(ds.features, ds.available))
            phases("fitting", 0.1)
            R = self._pairs(*ds.csr(Split.TRAIN))
            widths = tuple(self.imputer.widths[name] for name in ds.modalities)
            self._arrays |= self._learn(Training(rows[ds.train_items], widths, R))
            phases("vectors of items", 0.9)
            self._arrays["average"] = self._average(R)
            self._items = self._encode(rows)
        self._arrays = {name: self._arrays[name] for name in self._names()}

    def _content(self, features: Mapping[str, Any]) -> Vectors:
        centres = [self._arrays[f"centre{m}"] for m in range(len(features))]
        return content_rows(features, centres, self.settings.content)

    def _average(self, R: Sparse) -> Vectors:
        """The mean of the users' vectors (K,), for who chose nothing."""
        blocks = [R[start : start + _USERS] for start in range(0, R.shape[0], _USERS)]
        total = sum(self._describe(block)[np.diff(block.indptr) > 0].sum(axis=0, dtype=np.float64) for block in blocks)
        mean: Vectors = np.asarray(total / max(1, np.count_nonzero(np.diff(R.indptr)))).astype(np.float32)
        return mean

    # Vectors

    def _profiles(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> Vectors:
        average = self._fitted()["average"]
        with one_blas_thread():
            pairs = self._pairs(indptr, items)
            out = self._describe(pairs)
        out[np.diff(pairs.indptr) == 0] = average
        return out

    def _pairs(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> Sparse:
        """Compressed rows of items as ones (n, training items); new items are left out."""
        known = self.catalogue.item_split == Split.TRAIN
        place, kept = np.cumsum(known) - 1, known[items]
        starts = np.concatenate([[0], np.cumsum(kept)])[indptr]
        columns = place[items[kept]].astype(np.int32)
        return sparse.csr_array((np.ones(len(columns)), columns, starts), (len(indptr) - 1, int(known.sum())))

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of items of the fitted data, from their content; of all I when None."""
        self._fitted()
        return self._stored_items() if items is None else self._stored_items()[items]

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that weren't in the data; see `Recommender.encode_items`."""
        self._fitted()
        with one_blas_thread():
            return self._encode(self._content(self.fitted_imputer().complete(features, available)))

    # Files

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        require(path, arrays, *self._names())
        learned = int(np.count_nonzero(self.catalogue.item_split == Split.TRAIN))
        for name in _OF_TRAINING_ITEMS.intersection(self.parameters):
            check(path, arrays, {name: Field(FLOATS, (learned, "*"))}, {})
        self._arrays = {name: arrays[name] for name in self._names()}

    def _names(self) -> list[str]:
        """Names of the arrays, as they are stored."""
        return [*self.parameters, *(f"centre{m}" for m in range(len(self.fitted_imputer().modalities))), "average"]


_USERS = 4096
"""Users whose vectors are summed up at once."""


def _centres(ds: Dataset) -> Arrays:
    """Mean raw row of the training items that have each modality, under `centre0`, ..."""
    return {f"centre{m}": mean_row(ds.features[name], training_owners(ds, m)) for m, name in enumerate(ds.modalities)}
