"""Where milk-recommend and milk-export get users and items from: a data set, or the model's own file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.asked import Asked, histories_asked, ids_asked, pairs_asked
from milk_np.cli.fresh import NewItems, read_new_items
from milk_np.cli.model_file import is_untrained, load_model, make_untrained, refuse_without_data
from milk_np.cli.rejects import Place, Rejects
from milk_np.data import Dataset
from milk_np.data.storage import naming
from milk_np.errors import DataError
from milk_np.models.base import Vectors
from milk_np.models.on_data import OnData
from milk_np.models.pool import Encoder, Pool, catalogue_of
from milk_np.models.stored import StoredModel
from milk_np.serving.identity import Index
from milk_np.serving.recommend import Known
from milk_np.serving.rows import Exclusions
from milk_np.settings.shared import Settings

Names = NDArray[np.str_] | None


@dataclass(frozen=True, eq=False)
class Source:
    """A model, its users and items, and their original ids.

    What is asked for and unknown goes to `rejects`; with `skip`, it was expected.
    """

    model: Encoder
    data: Known
    modalities: tuple[str, ...]
    user_names: Names
    item_names: Names
    skip: bool = False
    rejects: Rejects = field(default_factory=Rejects)
    met: OnData | None = None
    """The model on the data, where it was trained on others: some users may have no vector."""

    @cached_property
    def user_index(self) -> Index:
        """Users by id."""
        return Index(self.user_names, self.data.n_users, "user")

    @cached_property
    def item_index(self) -> Index:
        """Items by id."""
        return Index(self.item_names, self.data.n_items, "item")

    # What lists are asked for

    def users(self, text: str) -> tuple[Asked, NDArray[np.int32]]:
        """The users that --users names, and their numbers: ids, a file of ids, or all."""
        if text == "all":
            numbers = np.arange(self.data.n_users, dtype=np.int32)
            asked = Asked("--users", range(1, len(numbers) + 1), self.user_index.words(numbers.tolist()))
        else:
            asked, numbers = self._known(ids_asked(text, "--users", "user"), self.user_index)
        if self.met is None or (served := self.met.servable[numbers]).all():
            return asked, numbers
        since = len(self.rejects)
        for n in np.flatnonzero(~served).tolist():
            user = int(numbers[n])
            why = self.met.why_not(user)
            self.rejects.add(asked.place(n), "user", self.user_index.words([user])[0], why, self.skip)
        self.rejects.rest(int(served.sum()), since)
        return asked.only(served), numbers[served]

    def items(self, text: str, option: str = "--items") -> tuple[Asked, NDArray[np.int32]]:
        """The items that an option names, and their numbers: ids, or a file of ids."""
        return self._known(ids_asked(text, option, "item"), self.item_index)

    def histories(self, text: str) -> tuple[Asked, list[NDArray[np.int32]], NDArray[np.int32]]:
        """Histories that --history names, items separated by commas or a file of such lines; and for each line, from 0,
        the place of its history, -1 if it is rejected.

        One with an unknown item is rejected; if unknown items are skipped, one of which nothing is left.
        """
        (asked, lines), since = histories_asked(text), len(self.rejects)
        read = [self._history(asked.place(n), items) for n, items in enumerate(lines)]
        kept = np.array([numbers is not None for numbers in read])
        self.rejects.rest(int(kept.sum()), since)
        place = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        return asked.only(kept), [numbers for numbers in read if numbers is not None], place

    def _history(self, place: Place, items: list[str]) -> NDArray[np.int32] | None:
        """Numbers of the items of a history; None if it can't be served."""
        numbers, name = self.item_index.find(items), str(place.row)
        lost = [word for word, number in zip(items, numbers.tolist(), strict=True) if number < 0]
        if lost and not self.skip:
            say = f"{self._unknown(self.item_index, lost[0])} (--skip-unknown leaves out such items)"
            self.rejects.add(place, "history", name, say)
            return None
        for word in lost:
            self.rejects.add(place, "item", word, self._unknown(self.item_index, word), True)
        if lost and len(lost) == len(items):
            self.rejects.add(place, "history", name, f"history {name}: none of its items is in the data set", True)
            return None
        return numbers[numbers >= 0]

    def _known(self, asked: Asked, index: Index) -> tuple[Asked, NDArray[np.int32]]:
        """Those of the ids that are known, and their numbers; the others are rejected."""
        numbers, since = index.find(asked.ids), len(self.rejects)
        known = numbers >= 0
        for n in np.flatnonzero(~known).tolist():
            self.rejects.add(asked.place(n), index.kind, asked.ids[n], self._unknown(index, asked.ids[n]), self.skip)
        self.rejects.rest(int(known.sum()), since)
        return asked.only(known), numbers[known]

    def _unknown(self, index: Index, word: str) -> str:
        return index.unknown(word, self.rejects.suggest)

    # What lists may hold

    def candidates(self, text: str) -> str | NDArray[np.int32]:
        """Items to choose from: new, all, or ids that --candidates names, in a file or separated by commas."""
        if text in ("new", "all"):
            return text
        asked = ids_asked(text, "--candidates", "item")
        since = len(self.rejects)
        numbers = self._agreed(asked, self.item_index)
        there = np.isin(numbers, self.data.all_items())
        for n in np.flatnonzero((numbers >= 0) & ~there).tolist():
            why = f"item {asked.ids[n]!r} is no longer in the data"
            self.rejects.add(asked.place(n), "item", asked.ids[n], why, self.skip)
        self.rejects.rest(int(there.sum()), since)
        return numbers[there]

    def exclusions(
        self, path: str | None, query: Index, found: Index, columns: tuple[str, str], alone: bool = True
    ) -> Exclusions:
        """What --exclude keeps out of lists: pairs of the ids of `query` and `found`, or of `found` `alone` where that
        means something. `columns` are their names in the file.
        """
        if path is None:
            return Exclusions()
        pairs = pairs_asked(path, *columns)
        single = np.array([not word for word in pairs.query.ids], np.bool_)
        if single.any() and not alone:
            place = pairs.query.place(int(np.flatnonzero(single)[0]))
            raise DataError(
                f"{place}: expected a pair {columns[0]},{columns[1]}, got one id; --items excludes pairs only"
            )
        what = self._agreed(pairs.found, found)
        whose = self._agreed(pairs.query, query, single)
        known = what >= 0
        paired = known & ~single & (whose >= 0)
        return Exclusions(what[known & single], whose[paired], what[paired])

    def _agreed(self, asked: Asked, index: Index, empty: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
        """Number of each id, -1 where it is unknown; DataError for one, unless unknown ids are skipped."""
        numbers = index.find(asked.ids)
        lost = numbers < 0 if empty is None else (numbers < 0) & ~empty
        for n in np.flatnonzero(lost).tolist():
            say = self._unknown(index, asked.ids[n])
            if not self.skip:
                raise DataError(f"{asked.place(n)}: {say}; mend it, or skip what is unknown with --skip-unknown")
            self.rejects.add(asked.place(n), index.kind, asked.ids[n], say, True)
        return numbers

    # Items of a file of features

    def new_items(self, path: str) -> tuple[NewItems, Vectors]:
        """The items in a file of feature rows, and their vectors (n, K)."""
        new = self._fit(read_new_items(path, self.modalities), {})
        return new, self._encoded(new)

    def pooled(self, path: str) -> tuple[Source, NewItems]:
        """This source with the items of a file of feature rows among its new items, as the last of them; and these."""
        new = read_new_items(path, self.modalities)
        if new.ids is None and self.item_names is not None:
            raise DataError(f"{path}: has no item_ids; expected an id for each item, which is to appear in lists")
        taken = [] if new.ids is None else self.item_index.not_new(new.ids)
        new = self._fit(new, {n: why for n, why in enumerate(taken) if why})
        pool = Pool(self.model, catalogue_of(self.data), new.ids, self._encoded(new))
        return replace(self, model=pool, data=pool.catalogue, item_names=pool.catalogue.item_ids), new

    def _fit(self, new: NewItems, refused: dict[int, str]) -> NewItems:
        """The items that can be used; the others are rejected."""
        why, since = {**dict(new.unfit(self.modalities)), **refused}, len(self.rejects)
        for n, reason in sorted(why.items()):
            self.rejects.add(new.place(n), "item", str(new.names[n]), reason)
        with naming(Path(new.file)):
            self.rejects.rest(len(new) - len(why), since)
        return new.only(~np.isin(np.arange(len(new)), list(why))) if why else new

    def _encoded(self, new: NewItems) -> Vectors:
        with naming(Path(new.file)):
            vectors = self.model.encode_items(new.features, new.owned)  # which checks the rows
            if isinstance(self.model, (OnData, StoredModel)):
                self.model.check_scale(new.features, new.owned)
            return vectors


def open_source(model: str, data: str | None, device: str, skip: bool = False) -> Source:
    """What --model and --data refer to. Raises SettingsError for a model without training and no --data."""
    refuse_without_data(model, data)
    if data is not None and is_untrained(model):
        ds = Dataset.load(data)
        return Source(make_untrained(model, ds, Settings()), ds, ds.modalities, ds.user_ids, ds.item_ids, skip)
    trained = load_model(model, device)
    if data is not None:
        ds = Dataset.load(data)
        met = OnData.of(trained, ds)
        return Source(met, ds, ds.modalities, ds.user_ids, ds.item_ids, skip, met=met)
    if trained.imputer is None:
        raise DataError(f"{model}: the model isn't fitted; train it first")
    known = trained.catalogue
    return Source(trained, known, trained.imputer.modalities, known.user_ids, known.item_ids, skip)
