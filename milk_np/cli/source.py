"""Where milk-recommend gets users and items from: a data set, or the model's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from errno import ENAMETOOLONG
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.model_file import is_untrained, load_model, make_untrained, refuse_without_data
from milk_np.cli.rejects import Rejects
from milk_np.data import Dataset
from milk_np.data.storage import naming
from milk_np.errors import DataError, SettingsError
from milk_np.files import load_arrays
from milk_np.models.base import Vectors
from milk_np.models.on_data import OnData
from milk_np.models.stored import StoredModel
from milk_np.serving.identity import Index
from milk_np.serving.recommend import Historian, Known
from milk_np.settings.shared import Settings
from milk_np.text import nearest

Names = NDArray[np.str_] | None


class Encoder(Historian, Protocol):
    """A model that also encodes items that aren't in the data."""

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of the items; see `Recommender.encode_items`."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model, its users and items, and their original ids."""

    model: Encoder
    data: Known
    modalities: tuple[str, ...]
    user_names: Names
    item_names: Names
    rejects: Rejects = field(default_factory=Rejects)

    def users(self, text: str) -> NDArray[np.int32]:
        """Numbers of the users that --users names: ids, a file of ids, or all."""
        everyone = text == "all"
        users = (
            np.arange(self.data.n_users, dtype=np.int32) if everyone else self._known(_words(text, "--users"), "user")
        )
        if not isinstance(self.model, OnData):
            return users
        served = self.model.servable[users]
        for user in users[~served].tolist():
            self.rejects.add("user", self.user_index.words([user])[0], self.model.why_not(user))
        return self.rejects.rest(users[served])

    def items(self, text: str) -> NDArray[np.int32]:
        """Numbers of the items that an option names: ids, or a file of ids."""
        return self._known(_words(text, "--items"), "item")

    def histories(self, text: str) -> list[NDArray[np.int32]]:
        """Histories that --history names: items separated by commas, or a file with one history per line."""
        parts = [[part.strip() for part in line.split(",") if part.strip()] for line in _lines(text) or [text]]
        if not any(parts):
            raise SettingsError(f"--history: expected items separated by commas, or a file of such lines, got {text!r}")
        return [self.item_index.numbers(items) for items in parts]

    def _known(self, words: list[str], kind: str) -> NDArray[np.int32]:
        """Numbers of the users or items that the data have; the others are rejected."""
        index = self.user_index if kind == "user" else self.item_index
        numbers = index.find(words)
        for word in (word for word, number in zip(words, numbers.tolist(), strict=True) if number < 0):
            self.rejects.add(kind, word, index.unknown(word))
        return self.rejects.rest(numbers[numbers >= 0])

    @cached_property
    def user_index(self) -> Index:
        """Users by id."""
        return Index(self.user_names, self.data.n_users, "user")

    @cached_property
    def item_index(self) -> Index:
        """Items by id."""
        return Index(self.item_names, self.data.n_items, "item")

    def new_items(self, path: str) -> tuple[Vectors, NDArray[Any]]:
        """Vectors (n, K) of the items in a file of feature rows, and their ids, or their numbers if it has none."""
        arrays = load_arrays(path)
        names = arrays.pop("item_ids", None)
        for name in arrays:
            if name not in self.modalities:
                raise DataError(
                    f"{path}: array {name!r} is not a modality; the model has {', '.join(self.modalities)}"
                    + nearest(name, self.modalities)
                )
        rows = {name: np.atleast_2d(array) for name, array in arrays.items()}
        owned = _owned(path, rows, self.modalities)
        if names is not None and names.shape != (len(owned),):
            raise DataError(f"{path}: expected {len(owned)} item_ids, one per item, got shape {names.shape}")
        named = np.arange(len(owned)) if names is None else names.astype(np.str_)
        some = owned.any(axis=1)
        if not some.all() and some.any():
            for name in named[~some].tolist():
                self.rejects.add("item", str(name), f"item {name!r} has none of {', '.join(self.modalities)}")
            rows, owned, named = {name: array[some] for name, array in rows.items()}, owned[some], named[some]
        with naming(Path(path)):
            if isinstance(self.model, (OnData, StoredModel)):
                self.model.check_scale(rows, owned)
            return self.model.encode_items(rows, owned), named


def open_source(model: str, data: str | None, device: str) -> Source:
    """What --model and --data refer to. Raises SettingsError for a model without training and no --data."""
    refuse_without_data(model, data)
    if data is not None and is_untrained(model):
        ds = Dataset.load(data)
        return _of_data(make_untrained(model, ds, Settings()), ds)
    trained = load_model(model, device)
    if data is not None:
        ds = Dataset.load(data)
        return _of_data(OnData.of(trained, ds), ds)
    if trained.imputer is None:
        raise DataError(f"{model}: the model isn't fitted; train it first")
    known = trained.catalogue
    return Source(trained, known, trained.imputer.modalities, known.user_ids, known.item_ids)


def _of_data(model: Encoder, ds: Dataset) -> Source:
    return Source(model, ds, ds.modalities, ds.user_ids, ds.item_ids)


def _lines(text: str) -> list[str]:
    """Lines of the file of this name; none if there is no such file."""
    try:
        return Path(text).read_text(encoding="utf-8").splitlines() if Path(text).is_file() else []
    except UnicodeDecodeError as error:
        raise DataError(f"{text}: expected UTF-8 text, got {error.reason} at byte {error.start}") from None
    except OSError as error:
        if error.errno == ENAMETOOLONG:  # a long list of ids, not a file
            return []
        raise


def _words(text: str, option: str) -> list[str]:
    """Ids separated by commas, or one per line in the file of that name."""
    words = [part.strip() for part in _lines(text) or text.split(",") if part.strip()]
    if not words:
        raise SettingsError(f"{option}: expected ids separated by commas, or a file of ids, got {text!r}")
    return words


def _owned(path: str, rows: dict[str, NDArray[Any]], modalities: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which item has which modality (n, M): there is an array, and the item's row isn't all NaN."""
    for name, array in rows.items():
        if array.ndim != 2:
            raise DataError(f"{path}: array {name!r}: expected rows (items x width), got shape {array.shape}")
    counts = {name: len(array) for name, array in rows.items()}
    if len(set(counts.values())) != 1:
        text = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no array"
        raise DataError(f"{path}: expected one row per item in each modality's array, got {text}")
    owned = np.zeros((next(iter(counts.values())), len(modalities)), np.bool_)
    for name, array in rows.items():
        if array.dtype.kind == "f":
            owned[:, modalities.index(name)] = ~np.isnan(array).all(axis=1)
        else:
            owned[:, modalities.index(name)] = True
    return owned
