"""What the service answers, without HTTP: lists from indexes, items that come and go, another model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.errors import DataError, MilkError
from milk_np.models.stored import StoredModel
from milk_np.service.journal import Change, Journal
from milk_np.serving import recommend as lists
from milk_np.serving.identity import Index, texts
from milk_np.serving.index import ItemIndex
from milk_np.serving.recommend import Ranked
from milk_np.serving.stock import Vectors

_LARGEST = float(np.finfo(np.float32).max)
Ids = Sequence[str]
Rows = Mapping[str, Sequence[float] | None]
"""One item's feature rows by modality."""


class RefusedError(DataError):
    """A request that can't be answered; `field` names its part, such as users.3."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(eq=False)
class Service:
    """Lists of a model that is loaded by `load`, now and at every reload.

    Parameters
    ----------
    load : returns the model
    journal : file of changes that workers share
    titles : names of items to show
    data : data set, optional
        Its features tell what an item would be without a modality.
    """

    load: Callable[[], StoredModel]
    journal: str
    titles: Mapping[str, str] = field(default_factory=dict)
    data: Dataset | None = None

    def __post_init__(self) -> None:
        self.items_of_data = _items_of(self.data)
        self._begin()

    def _begin(self) -> None:
        """The model and the changes of the journal, from the files."""
        self.model = self.load()
        self.new, self.all = ItemIndex(self.model), ItemIndex(self.model, "all")
        self.alike = ItemIndex(self.model, "all", similar=True)
        self.added: dict[str, dict[str, list[float] | None]] = {}
        self.removed: set[str] = set()
        self.changes = Journal(self.journal, self._apply, is_change)
        self._replaying = True
        try:
            self.changes.catch_up()
        finally:
            self._replaying = False

    @property
    def _indexes(self) -> tuple[ItemIndex, ...]:
        return self.new, self.all, self.alike

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the model's modalities."""
        return self.model.fitted_imputer().modalities

    def warm_up(self) -> None:
        """Make lists for nobody: kernels are compiled, or read from the disk, when they are first used."""
        known, width = self.model.catalogue, self.all.state.stock.width
        self.all.state.stock.search(np.zeros((1, width), np.float32), 1)
        if known.n_users:
            self.model.user_factors(np.zeros(1, np.int32))
        if self.model.serves_histories and known.n_items:
            self.model.encode_users([np.zeros(1, np.int32)])

    # Lists

    def recommend(
        self, users: Ids, k: int, candidates: str | Ids = "new", exclude: Ids = (), exclude_seen: bool = True
    ) -> Ranked:
        """The best items for users."""
        self._require("users", users, self.knows_user)
        index, among = self._chosen(candidates)
        return index.recommend(users, k, candidates=among, exclude=exclude, exclude_seen=exclude_seen)

    def recommend_for_histories(
        self, histories: Sequence[Ids], k: int, candidates: str | Ids = "new", exclude: Ids = ()
    ) -> Ranked:
        """The best items for somebody who wasn't in training."""
        for number, history in enumerate(histories):
            self._require(f"histories.{number}", history, self.knows_item)
        index, among = self._chosen(candidates)
        return index.recommend_for_histories(histories, k, candidates=among, exclude=exclude)

    def similar(self, items: Ids, k: int, candidates: str | Ids = "all") -> Ranked:
        """Items like these."""
        self._require("items", items, self.alike.__contains__)
        _, among = self._chosen(candidates)
        return self.alike.similar_to(items, k, candidates=self.new.state.stock.names if candidates == "new" else among)

    def users_for(self, items: Ids, k: int) -> Ranked:
        """Users for these items, without those who have chosen them."""
        self._require("items", items, self.all.__contains__)
        state, k = self.all.state, min(k, self.all.state.model.catalogue.n_users)
        known = state.model.catalogue
        numbers = known.items.find(items)
        if (numbers >= 0).all() and not self.added.keys() & set(items):
            found = lists.users_for_items(state.model, known, numbers, k)
        else:
            vectors = state.stock.vectors(state.stock.places(items))
            found = lists.users_for_new_items(state.model, known, vectors, k)
        return Ranked(np.array(texts(items, "item")), known.users.names(found.found), found.score, "item", "user")

    def _chosen(self, candidates: str | Ids) -> tuple[ItemIndex, Ids | None]:
        if isinstance(candidates, str):
            return (self.new if candidates == "new" else self.all), None
        self._require("candidates", candidates, self.all.__contains__)
        return self.all, candidates

    def knows_user(self, name: str) -> bool:
        """Whether the model has this user."""
        return bool(self.model.catalogue.users.find([name])[0] >= 0)

    def knows_item(self, name: str) -> bool:
        """Whether this item is in the model, or was added."""
        return name in self.all or bool(self.model.catalogue.items.find([name])[0] >= 0)

    def _require(self, field: str, names: Ids, known: Callable[[str], bool]) -> None:
        for number, name in enumerate(names):
            if not known(name):
                side = self.model.catalogue.users if field == "users" else self.model.catalogue.items
                gone = field != "users" and name in self.removed
                raise RefusedError(f"{field}.{number}", f"item {name!r} was removed" if gone else side.unknown(name))

    # Changes

    def put(self, items: Mapping[str, Rows]) -> int:
        """Add or replace items by their feature rows; returns how many."""
        features = {name: {m: _numbers(row) for m, row in rows.items()} for name, rows in items.items()}
        self._change({"put": features})
        return len(items)

    def remove(self, items: Ids) -> int:
        """Take items out of all lists; returns how many."""
        self._require("items", items, self.all.__contains__)
        self._change({"remove": list(items)})
        return len(items)

    def reload(self) -> list[str]:
        """Load the model again; returns added items that the new one can't encode, which are left out."""
        lost: list[str] = self._change({"reload": True})
        return lost

    def _change(self, change: Change) -> Any:
        """Apply a change and tell the other workers. Where the journal can't be written, nothing has changed."""
        try:
            return self.changes.write(change)
        except OSError:
            with suppress(OSError, MilkError):
                self._begin()
            raise

    def _apply(self, change: Change) -> Any:
        if "put" in change:
            try:
                return self._put(change["put"])
            except MilkError:
                if not self._replaying:
                    raise
        if "remove" in change:
            return self._remove(change["remove"])
        return self._reload() if "reload" in change and not self._replaying else []

    def _put(self, features: dict[str, dict[str, list[float] | None]]) -> None:
        vectors = self.encode(features)
        for index in self._indexes:
            index.put(list(features), vectors)
        self.added |= features
        self.removed -= set(features)

    def _remove(self, names: list[str]) -> None:
        for index in self._indexes:
            index.remove([name for name in names if name in index])
        self.removed |= set(names)
        for name in names:
            self.added.pop(name, None)

    def _reload(self) -> list[str]:
        model = self.load()
        kept, vectors, lost = {}, [], []
        for name, rows in self.added.items():
            if model.catalogue.items.find([name])[0] >= 0:  # was taken into the data meanwhile
                continue
            try:
                vectors.append(encode(model, {name: rows})[0])
                kept[name] = rows
            except MilkError:
                lost.append(name)
        fresh = np.stack(vectors) if vectors else None
        for index in self._indexes:
            index.swap(model, list(kept), fresh, list(self.removed))
        self.model, self.added = model, kept
        return lost

    def encode(self, items: Mapping[str, Rows]) -> Vectors:
        """Vectors (n, K) of items by their feature rows."""
        return encode(self.model, items)


def is_change(value: object) -> bool:
    """Whether a line of a journal holds what a service writes."""
    match value:
        case {"put": dict(items), **rest} if not rest:
            rows = [row for features in items.values() for row in _rows_of(features)]
            return all(row is None or (isinstance(row, list) and all(map(_is_number, row))) for row in rows)
        case {"remove": list(names), **rest} if not rest:
            return all(isinstance(name, str) for name in names)
        case {"reload": True, **rest}:
            return not rest
    return False


def _rows_of(features: object) -> list[Any]:
    """Rows of one item by modality; something that is no row for anything else."""
    return list(features.values()) if isinstance(features, dict) else [features or ""]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _items_of(ds: Dataset | None) -> Index:
    """Rows of the data's items by id."""
    return Index(None, 0, "item") if ds is None else Index(ds.item_ids, ds.n_items, "item")


def _numbers(row: Sequence[float] | None) -> list[float] | None:
    return None if row is None else [float(number) for number in row]


def encode(model: StoredModel, items: Mapping[str, Rows], without: Ids = ()) -> Vectors:
    """Vectors (n, K) of items by their feature rows, taken to lack the modalities `without`."""
    imputer = model.fitted_imputer()
    names = imputer.modalities
    owned = np.zeros((len(items), len(names)), np.bool_)
    arrays: dict[str, NDArray[np.float32]] = {
        name: np.zeros((len(items), imputer.widths[name]), np.float32) for name in names
    }
    for n, (item, rows) in enumerate(items.items()):
        for name, row in rows.items():
            if name not in names:
                raise RefusedError(f"items.{n}.features.{name}", f"expected modalities among {', '.join(names)}")
            if row is not None and name not in without:
                if len(row) != imputer.widths[name]:
                    what = f"expected {imputer.widths[name]} numbers, got {len(row)}"
                    raise RefusedError(f"items.{n}.features.{name}", what)
                arrays[name][n], owned[n, names.index(name)] = row, True
        if not owned[n].any():
            raise RefusedError(f"items.{n}.features", f"item {item!r} has none of {', '.join(names)}")
    return model.encode_items(arrays, owned)
