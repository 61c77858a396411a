"""What models that are trained and saved share: settings, and the catalogue, item vectors and imputer in the file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.backends.select import get_backend
from milk_np.data import Dataset, Imputer, imputer_class
from milk_np.data.share import Share
from milk_np.errors import DataError, SettingsError
from milk_np.files import Arrays as Arrays
from milk_np.files import read_meta, read_npz, require, write_npz_atomic
from milk_np.files.schema import Schema, check, check_plain
from milk_np.models.base import Vectors
from milk_np.models.estimator import Estimator
from milk_np.models.in_parts import write_in_parts
from milk_np.models.on_data import OnData
from milk_np.models.pool import Pool
from milk_np.models.reading import try_arrays
from milk_np.models.registry import MODELS, model_class, own_settings, stored_settings, trained
from milk_np.models.schema import IMPUTER, SCHEMA
from milk_np.models.serving import Features, Owned, Serving
from milk_np.serving.catalogue import ARRAYS as STORED
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.identity import IdList, texts
from milk_np.serving.joining import Joined, join
from milk_np.serving.prints import warn_of_scale
from milk_np.serving.ranking import Scorer, TopK
from milk_np.settings.shared import Settings
from milk_np.training.history import History
from milk_np.training.keeping import write_shared
from milk_np.training.progress import Callbacks
from milk_np.training.run_folder import RunFolder, model_in

KIND = "model"


class StoredModel(Estimator, Serving):
    """A model with settings that can be trained, saved and loaded.

    Attributes
    ----------
    settings : the model's, a subclass of Settings
        Everything that affects the result.
    history : History, optional
        Losses and validation metrics of training by steps, after `fit`.
    imputer : Imputer, after `fit` or `load`
    """

    schema: ClassVar[Schema] = {}
    """The model's own arrays in its file, in the letters of the package."""

    scale_matters: ClassVar[bool] = True
    """Whether the lengths of feature rows change a ranking."""

    described: ClassVar[bool] = False
    """Whether `schema` says all of the model's own arrays; otherwise encoding is tried when they are loaded."""
    user_tables: ClassVar[frozenset[str]] = frozenset()
    """Parameters that have a row for each user."""
    share: Share | None = None  # this rank's users, for a `fit` to their data alone

    profiles_new_items: ClassVar[bool] = False
    """Whether an item that the model did not learn from adds to the profile of a user who chose it."""
    _lazy_backend: Backend | None = None

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """`settings`, changed by `options`; see the model's settings for names, defaults and ranges."""
        self.settings: Any = own_settings(self.name, settings, options)
        self.history: History | None = None
        self.imputer: Imputer | None = None
        self._catalogue: Catalogue | None = None
        self._items: Vectors | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new model with these settings, not fitted yet."""
        return cls(settings)

    @abstractmethod
    def fit(
        self,
        ds: Dataset,
        *,
        callback: Callbacks = None,
        run: RunFolder | None = None,
        resume: bool = False,
        final: bool = False,
    ) -> Self:
        """Learn from `ds`.

        Parameters
        ----------
        ds : Dataset
        callback : functions of `milk_np.training.progress.Progress`, called during training: one or several
            See `milk_np.Listener`. By default a bar in a notebook; an empty list shows nothing there, either.
        run : folder for the model, and for checkpoints and metrics of a model that learns by steps
        resume : continue from the last checkpoint in `run`
        final : bool
            Train on every item that has a pair, validation and test items too, without early stopping: a model that
            learns by steps takes `settings.max_epochs` epochs. It has no held-out figures.

        Raises DivergedError if a loss stops being finite, KeyboardInterrupt on Ctrl-C after the state is saved.
        """

    @abstractmethod
    def arrays(self) -> Arrays:
        """Copies of what has been learned."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load what `arrays` returned."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the model to `path` (.npz), atomically; `load` reads it back."""

    @property
    def catalogue(self) -> Catalogue:
        """The users and items that the model was fitted with."""
        if self._catalogue is None:
            raise self._unfitted()
        return self._catalogue

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return int(self.item_factors(np.zeros(0, np.int32)).shape[1])

    def on(self, ds: Dataset) -> Scorer:
        """The model on the users and items of `ds`, matched by id; the model itself on the data of its `fit`.

        Raises DataError if modalities differ, or if users or items without ids can't be matched.
        """
        return self if self.catalogue.token is ds.token else OnData.of(self, ds)

    def check_scale(self, features: Features, available: Owned = None) -> None:
        """Warn if the rows of new items are scaled otherwise than in training, where the model minds."""
        if self.scale_matters:
            warn_of_scale(self.fitted_imputer().modalities, self.catalogue.lengths, features, available)

    def with_items(self, ids: IdList, features: Features, available: Owned = None) -> Pool:
        """This model's items and new ones, to be ranked together: `ids` (n), and raw rows as in `score_items`.

        Raises DataError for an id that is there already, and what `encode_items` raises.
        """
        vectors = self.encode_items(features, available)  # which checks the rows
        self.check_scale(features, available)
        return Pool(self, self.catalogue, texts(ids, "item"), vectors)

    @property
    def backend(self) -> Backend:
        """Backend of `settings.device`, looked for when it is first needed."""
        if self._lazy_backend is None:
            self._lazy_backend = get_backend(self.settings.device, self.settings.threads)
        return self._lazy_backend

    @property
    def top_k(self) -> TopK:
        """The search for the best items on the model's device."""
        return self.backend.top_k

    def encoder_onnx(self) -> bytes:
        """The item encoder as an ONNX model. Raises SettingsError if the model has none (docs/vectors.md)."""
        raise SettingsError(f"{self.name}: has no ONNX encoder; MILK and DUIF have one. Its vectors can be exported")

    def fitted_imputer(self) -> Imputer:
        """The imputer; SettingsError if the model isn't fitted."""
        if self.imputer is None:
            raise self._unfitted()
        return self.imputer

    def _stored_items(self) -> Vectors:
        if self._items is None:
            raise self._unfitted()
        return self._items

    def _unfitted(self) -> SettingsError:
        return SettingsError(f"{self.name}: the model isn't fitted; call fit(ds) or load(path) first")

    # Meeting new pairs

    def updated(self, ds: Dataset) -> tuple[Self, Joined]:
        """A model that has taken in the users, items and pairs of `ds` without training, and what was added.

        Every pair of `ds` counts as seen. Histories grow, of known users and of new ones, if the model serves
        histories; otherwise users' vectors stay as trained, and new users are left out. Items of `ds` are encoded from
        their features there; items that `ds` doesn't have are no longer listed. This model stays as it is.

        Raises
        ------
        SettingsError
            If the model can't be updated without training.
        DataError
            If modalities differ, or if users or items without ids can't be matched.
        """
        met = OnData.of(self, ds)
        joined = join(self.catalogue, ds, met.match, self.serves_histories)
        parameters = self._extended(joined, met)
        items = self.item_factors()
        items = np.vstack([items, np.zeros((joined.catalogue.n_items - len(items), items.shape[1]), np.float32)])
        items[joined.items] = met.item_factors()
        model = type(self)(self.settings)
        model._read("updated", parameters | self._common(self.fitted_imputer(), items, joined.catalogue))
        return model, joined

    def _extended(self, joined: Joined, met: OnData) -> Arrays:
        """The arrays that `save` writes as parameters, with rows for the users and items that were added."""
        raise SettingsError(
            f"{self.name}: can't take in new pairs without training; train it again (milk-train --final)"
        )

    # Files

    def _write(self, path: str | Path, parameters: Mapping[str, Any]) -> None:
        """Write `parameters`, and what every fitted model stores; only settings if the model isn't fitted."""
        arrays, share = dict(parameters), self.share
        meta = {"kind": KIND, "model": self.name, "settings": self.settings.without_machine().to_dict()}
        if self.imputer is None or self._catalogue is None:
            return write_npz_atomic(path, arrays, meta)
        whole = self._catalogue if share is None or share.whole is None else Catalogue.of(share.whole)

        def common() -> Arrays:
            return self._common(self.fitted_imputer(), self.item_factors(), whole)

        if share is not None and share.shards:
            return write_in_parts(path, share, arrays, self.user_tables, whole, common, meta)
        arrays |= common() if share is None or share.ranks.first else {}
        write_shared(share, path, arrays, self.user_tables, meta)

    def _common(self, imputer: Imputer, items: Vectors, catalogue: Catalogue) -> Arrays:
        """What every fitted model stores."""
        state = {f"{IMPUTER}{name}": array for name, array in imputer.state().items()}
        return {**state, "items": items, **catalogue.arrays()}

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Self:
        """The model that `save` wrote, or that of a run's folder, which brings its history.

        Raises DataError naming the file and what is wrong with it, SettingsError for a folder without a model.
        """
        folder, path = Path(path), model_in(path)
        model = cls.of_file(path, *read_npz(path, KIND), device)
        if folder != path:
            model.history = RunFolder(folder).history(model.settings.valid_metric)
        return model

    @classmethod
    def of_file(cls, path: str | Path, arrays: Arrays, meta: Mapping[str, Any], device: str) -> Self:
        """The model of what a file holds; errors of `load`."""
        if meta.get("model") != cls.name:
            raise DataError(f"{path}: holds a model named {meta.get('model')!r}, expected {cls.name!r}")
        if not isinstance(meta.get("settings"), dict):
            raise DataError(f"{path}: its 'meta' entry has no settings; the file is damaged, write it again")
        try:
            settings = stored_settings(meta["settings"], str(path), cls.name)
        except SettingsError as error:
            raise DataError(f"{path}: written by another version, fit the model again ({error})") from error
        model = cls(settings.replace(device=device))
        if arrays:
            model._read_checked(path, arrays)
        return model

    def _read_checked(self, path: str | Path, arrays: Arrays) -> None:
        """Load what `_write` wrote; DataError unless every array has the type, shape and range that it should."""
        schema = {**SCHEMA, **self.schema}
        check_plain(path, arrays, schema)
        check(path, arrays, schema, {})
        try_arrays(self, path, arrays)

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        """Load what `_write` wrote; a model also reads its parameters."""
        require(path, arrays, "items", *STORED)
        self._items, self._catalogue = arrays["items"], Catalogue.from_arrays(arrays)
        state = {name.removeprefix(IMPUTER): x for name, x in arrays.items() if name.startswith(IMPUTER)}
        self.imputer = self._imputer_class().from_state(state)

    def _imputer_class(self) -> type[Imputer]:
        return imputer_class(self.settings.impute)


def load(path: str | Path, *, device: str = "cpu") -> StoredModel:
    """The model that `save` wrote, or that of a run's folder, of any kind; errors of `StoredModel.load`."""
    return stored_class(path, read_meta(model_in(path), "model")).load(path, device=device)


def stored_class(path: str | Path, meta: Mapping[str, Any]) -> type[StoredModel]:
    """The class that a file's `meta` names."""
    name = str(meta.get("model"))
    cls = model_class(name) if name in MODELS else None
    if cls is None or not issubclass(cls, StoredModel):
        raise DataError(f"{path}: holds a model named {name!r}, expected one of {', '.join(trained())}")
    return cls
