"""An index for serving: a model and its items, packed once, searched by many threads while items come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import unit_rows
from milk_np.errors import DataError, SettingsError
from milk_np.serving.batching import Batcher
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.identity import Ids, texts
from milk_np.serving.ranking import finite
from milk_np.serving.recommend import Historian, Ranked, candidate_items
from milk_np.serving.stock import Slots, Stock, Vectors


class Served(Historian, Protocol):
    """A model that knows its users and items by id."""

    @property
    def catalogue(self) -> Catalogue:
        """The users and items that it knows."""


@dataclass(frozen=True, eq=False)
class State:
    """What one search sees from beginning to end: a model, and its items as they were at that moment."""

    model: Served
    stock: Stock

    def users(self, users: Ids) -> Vectors:
        """Vectors of users by id."""
        return self.model.user_factors(self.model.catalogue.users.numbers(users))

    def histories(self, histories: Sequence[Ids]) -> Vectors:
        """Vectors of users by the items that they chose; an item that was added later says nothing yet."""
        known = self.model.catalogue.items
        numbers = [known.find(texts(history, "item")) for history in histories]
        for history, found in zip(histories, numbers, strict=True):
            lost = [name for name, number in zip(texts(history, "item"), found, strict=True) if number < 0]
            for name in lost:
                if name not in self.stock:
                    raise DataError(known.unknown(name))
        return self.model.encode_users([found[found >= 0] for found in numbers])

    def seen(self, user: str) -> list[str]:
        """Ids of the items with which a user has a training pair."""
        known = self.model.catalogue
        (number,) = known.users.numbers([user])
        items = known.seen_items[known.seen_indptr[number] : known.seen_indptr[number + 1]]
        return known.items.words(items.tolist())

    def there(self, ids: Sequence[str]) -> Slots:
        """Places of those of `ids` that are in the index, ascending."""
        return np.array(sorted({self.stock.slots[name] for name in ids if name in self.stock}), np.int32)


@dataclass(frozen=True, eq=False)
class _Query:
    state: State
    vector: Vectors
    k: int
    exclude: Slots


@dataclass(frozen=True, eq=False)
class ItemIndex:
    """Items to recommend, for a service that runs: the lists are those of `Serving.recommend`, bit for bit.

    Every search sees one state; writers make a new one beside it and swap. Searches of single users that wait at the
    same time are made together. What adding and removing costs grows with the number of items: their ids are copied.

    Parameters
    ----------
    model : a fitted or loaded model
    candidates : "new", "all" or ids
        Items of the model to begin with.
    similar : bool
        Hold vectors of length 1, for `similar_to`.
    half : bool
        Read vectors in half precision first where one user alone is searched for, and score the best anew: the same
        lists in .6 of the time, for half as much memory again.
    """

    model: Served
    candidates: str | Ids = "new"
    similar: bool = False
    half: bool = False
    _states: list[State] = field(init=False, repr=False)
    _writing: Lock = field(init=False, repr=False, default_factory=Lock)
    _together: Batcher[_Query, tuple[Slots, Vectors]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_states", [self._of(self.model)])
        object.__setattr__(self, "_together", Batcher(_search_together))

    @property
    def state(self) -> State:
        """The present state."""
        return self._states[0]

    def __len__(self) -> int:
        return len(self.state.stock)

    def __contains__(self, name: object) -> bool:
        return name in self.state.stock

    # Writing

    def _of(self, model: Served) -> State:
        known, chosen = model.catalogue.items, self.candidates
        numbers = candidate_items(model.catalogue, chosen if isinstance(chosen, str) else known.numbers(chosen))
        vectors = self._form(model.item_factors(numbers))
        return State(model, Stock.of(known.words(numbers.tolist()), vectors, self.half))

    def _form(self, vectors: Vectors) -> Vectors:
        return unit_rows(vectors) if self.similar else vectors

    def put(self, ids: Ids, vectors: Vectors) -> None:
        """Add items with vectors (n, K), such as `model.encode_items` gives; those that are there are replaced."""
        self._write(ids, lambda names, stock: stock.put(names, self._form(np.asarray(vectors))))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add items that aren't there; DataError for one that is."""

        def added(names: list[str], stock: Stock) -> Stock:
            for name in names:
                if name in stock:
                    raise DataError(f"items: {name!r} is there already; replace it, or choose another id")
            return stock.put(names, self._form(np.asarray(vectors)))

        self._write(ids, added)

    def replace(self, ids: Ids, vectors: Vectors) -> None:
        """Replace the vectors of items that are there; DataError for one that isn't."""

        def replaced(names: list[str], stock: Stock) -> Stock:
            stock.places(names)
            return stock.put(names, self._form(np.asarray(vectors)))

        self._write(ids, replaced)

    def remove(self, ids: Ids) -> None:
        """Remove items; DataError for one that isn't there, and then none is removed."""
        self._write(ids, lambda names, stock: stock.without(names))

    def _write(self, ids: Ids, change: Callable[[list[str], Stock], Stock]) -> None:
        names = texts(ids, "item")
        with self._writing:
            self._states[0] = State(self.state.model, change(names, self.state.stock))

    def swap(self, model: Served, put: Ids = (), vectors: Vectors | None = None, without: Ids = ()) -> None:
        """Serve another model and its items, in one step; searches that have begun end with the one before.

        `put` are items to add with `vectors` (n, K) of the new model, `without` those to leave out where it has them.
        """
        state = self._of(model)
        stock = state.stock.without([name for name in texts(without, "item") if name in state.stock])
        if vectors is not None:
            stock = stock.put(texts(put, "item"), self._form(vectors))
        with self._writing:
            self._states[0] = State(model, stock)

    # Searching

    def recommend(
        self,
        users: Ids,
        k: int = 20,
        *,
        candidates: Ids | None = None,
        exclude: Ids = (),
        exclude_seen: bool = True,
    ) -> Ranked:
        """The best `k` items for each of `users`, padded with "" where fewer are left.

        `candidates` are ids to choose from, `exclude` those that nobody gets.
        """
        state, names = self.state, texts(users, "user")
        seen = [state.seen(name) if exclude_seen else [] for name in names]
        found = self._search(state, np.array(names), state.users(users), k, seen, candidates, exclude)
        return replace(found, query_kind="user")

    def recommend_for_histories(
        self, histories: Sequence[Ids], k: int = 20, *, candidates: Ids | None = None, exclude: Ids = ()
    ) -> Ranked:
        """The best `k` items for users given by the items that they chose, which are left out."""
        state = self.state
        own = [texts(history, "item") for history in histories]
        rows = np.arange(len(own))
        found = self._search(state, rows, state.histories(histories), k, own, candidates, exclude)
        return replace(found, query_kind="history")

    def similar_to(self, items: Ids, k: int = 20, *, candidates: Ids | None = None, exclude: Ids = ()) -> Ranked:
        """The `k` items most similar to each of `items` by cosine, without itself; for an index that is `similar`."""
        if not self.similar:
            raise SettingsError("similar_to: expected an index made with similar=True")
        state, names = self.state, texts(items, "item")
        vectors = state.stock.vectors(state.stock.places(names))
        found = self._search(state, np.array(names), vectors, k, [[name] for name in names], candidates, exclude)
        return replace(found, query_kind="item", found_kind="similar")

    def _search(
        self,
        state: State,
        query: NDArray[Any],
        vectors: Vectors,
        k: int,
        own: Sequence[Sequence[str]],
        candidates: Ids | None,
        exclude: Ids,
    ) -> Ranked:
        if k < 1:
            raise SettingsError(f"k: expected a length of at least 1, got {k}")
        finite(vectors, "user", np.arange(len(vectors), dtype=np.int32))
        never = texts(exclude, "item")
        dropped = [state.there([*row, *never]) for row in own]
        if candidates is None and len(vectors) == 1:
            place, score = self._together(_Query(state, vectors[0], k, dropped[0]))
        else:
            among = None if candidates is None else np.unique(state.stock.places(texts(candidates, "item")))
            place, score = state.stock.search(vectors, k, dropped, among)
        names = [state.stock.ids[at] if at >= 0 else "" for at in place.ravel().tolist()]
        return Ranked(query, np.array(names, np.str_).reshape(place.shape), score, found_kind="item")


def _search_together(queries: Sequence[_Query]) -> list[tuple[Slots, Vectors]]:
    """Answers of queries, those on one state by one search: the best k are the first k of the best that are more."""
    answers: dict[int, tuple[Slots, Vectors]] = {}
    for state in {id(each.state): each.state for each in queries}.values():
        here = [number for number, each in enumerate(queries) if each.state is state]
        vectors, k = np.stack([queries[n].vector for n in here]), max(queries[n].k for n in here)
        place, score = state.stock.search(vectors, k, [queries[n].exclude for n in here])
        for row, n in enumerate(here):
            answers[n] = place[row : row + 1, : queries[n].k], score[row : row + 1, : queries[n].k]
    return [answers[n] for n in range(len(queries))]
