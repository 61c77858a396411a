"""The lists of milk-recommend: what is asked for, from a source, as tables of ids."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.fresh import NewItems
from milk_np.cli.rejects import Place, Rejects
from milk_np.cli.shard import of_shard
from milk_np.cli.source import Source
from milk_np.errors import DataError, SettingsError
from milk_np.serving import recommend as lists
from milk_np.serving.identity import Index
from milk_np.serving.output import Table
from milk_np.serving.recommend import Ranked
from milk_np.serving.rows import Exclusions

Names = Callable[[NDArray[np.int32]], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Job:
    """Lists as they come, and how their queries and entries are called: a column's name, and ids of numbers.

    `place` is where the n-th query was asked for, `length` that of a list that nothing makes shorter, `note` says why
    it is less than --topk.
    """

    parts: Iterable[Ranked]
    query: tuple[str, Names]
    found: tuple[str, Names]
    place: Callable[[int], Place]
    length: int
    note: str = ""


class Delivered:
    """The tables of a job, one for each block of lists, and what they had: `rows`, `lists`, shorter lists.

    A list without any entry is told by `rejects`.
    """

    def __init__(self, job: Job, rejects: Rejects) -> None:
        self._job, self._rejects = job, rejects
        self.rows = self.lists = self.shorter = 0
        self.shortest = job.length

    def __iter__(self) -> Iterator[Table]:
        (query, whose), (found, what) = self._job.query, self._job.found
        for part in self._job.parts:
            self._count(part)
            numbers, rank, entries, score = part.rows()
            yield {query: whose(numbers), "rank": rank, found: what(entries), "score": score}

    def _count(self, part: Ranked) -> None:
        length = (~np.isneginf(part.score)).sum(axis=1)
        self.rows += int(length.sum())
        self.shorter += int((length < self._job.length).sum())
        self.shortest = min(self.shortest, int(length.min(initial=self.shortest)))
        empty, kind = np.flatnonzero(length == 0), self._job.query[0]
        for n, name in zip(empty.tolist(), self._job.query[1](part.query[empty]).tolist(), strict=True):
            why = f"{kind} {str(name)!r}: nothing is left to list, everything was seen or excluded"
            self._rejects.add(self._job.place(self.lists + n), kind, str(name), why, expected=True)
        self.lists += len(length)

    @property
    def note(self) -> str:
        """What to say of shorter lists; empty text if there are none."""
        if not self.shorter:
            return ""
        return (
            f"{self.shorter:,} of {self.lists:,} lists have less than {self._job.length} entries (the shortest has "
            f"{self.shortest}): nothing else was left that isn't seen or excluded"
        )


def job_of(given: argparse.Namespace, source: Source) -> Job:
    """What the line asks for."""
    if given.history is not None and not source.model.serves_histories:
        raise SettingsError(
            "--history: this model knows only the users of its training; train one with --preset best, or MILK with "
            "--users profile or both"
        )
    if given.new_item is not None:
        return _new_items(given, source)
    new = None
    if given.fresh is not None:
        source, new = source.pooled(given.fresh)
    if given.users is not None:
        return _users(given, source)
    if given.history is not None:
        return _histories(given, source)
    if given.similar is not None:
        return _similar(given, source)
    return _items(given, source, new)


def _users(given: argparse.Namespace, source: Source) -> Job:
    user, item = source.user_index, source.item_index
    asked, users = of_shard(given, *source.users(given.users))
    choice = _choice(given, source, source.exclusions(given.exclude, user, item, ("user", "item")))
    how = {**choice.how, "exclude_seen": not given.include_seen}
    parts = lists.recommend_blocks(source.model, source.data, users, choice.k, **how)
    return Job(parts, ("user", user.names), ("item", item.names), asked.place, choice.k, choice.note)


def _histories(given: argparse.Namespace, source: Source) -> Job:
    asked, histories, place = source.histories(given.history)
    lines = Index(np.arange(1, len(place) + 1).astype(np.str_), len(place), "history", "--history")
    never = source.exclusions(given.exclude, lines, source.item_index, ("history", "item"))
    served = place[never.query] >= 0
    never = Exclusions(never.items, place[never.query][served], never.found[served])
    choice, rows = _choice(given, source, never), np.array(asked.rows, np.int32)
    found = lists.recommend_for_histories(source.model, source.data, histories, choice.k, **choice.how)
    item = ("item", source.item_index.names)
    return Job([found], ("history", rows.__getitem__), item, asked.place, choice.k, choice.note)


def _similar(given: argparse.Namespace, source: Source) -> Job:
    item = source.item_index
    asked, wanted = source.items(given.similar, "--similar")
    choice = _choice(given, source, source.exclusions(given.exclude, item, item, ("item", "similar")))
    found = lists.similar_items(source.model, source.data, wanted, choice.k, **choice.how)
    return Job([found], ("item", item.names), ("similar", item.names), asked.place, choice.k, choice.note)


def _items(given: argparse.Namespace, source: Source, new: NewItems | None) -> Job:
    """Users for items: those that are named, or else all that are `new`."""
    user, item = source.user_index, source.item_index
    if given.items is None and new is not None:
        place, n = new.place, source.data.n_items
        wanted = np.arange(n - len(new), n, dtype=np.int32)
    else:
        asked, wanted = source.items(given.items)
        place = asked.place
    pairs = source.exclusions(given.exclude, user, item, ("user", "item"), alone=False)
    how: dict[str, Any] = {"exclude_seen": not given.include_seen}
    how["exclude"] = Exclusions(query=pairs.found, found=pairs.query)
    k, note = _length(given.topk, source.data.n_users, "users")
    found = lists.users_for_items(source.model, source.data, wanted, k, **how)
    return Job([found], ("item", item.names), ("user", user.names), place, k, note)


def _new_items(given: argparse.Namespace, source: Source) -> Job:
    """Users for the items of a file, or these items alone for users."""
    new, vectors = source.new_items(given.new_item)
    user, item = ("user", source.user_index.names), ("item", new.names.__getitem__)
    if given.users is None:
        k, note = _length(given.topk, source.data.n_users, "users")
        found = lists.users_for_new_items(source.model, source.data, vectors, k)
        return Job([found], item, user, new.place, k, note)
    asked, users = source.users(given.users)
    k, note = _length(given.topk, len(vectors), "candidates")
    found = lists.recommend_new_items(source.model, source.data, vectors, users, k)
    return Job([found], user, item, asked.place, k, note)


@dataclass(frozen=True, eq=False)
class _Choice:
    """What lists may hold, as arguments; how long they are at most, and a note if that is less than --topk."""

    how: dict[str, Any]
    k: int
    note: str


def _choice(given: argparse.Namespace, source: Source, never: Exclusions) -> _Choice:
    items = source.candidates(given.candidates or ("new" if given.similar is None else "all"))
    numbers = lists.candidate_items(source.data, items)
    if not len(numbers):
        raise DataError("--candidates: the data have no new items; list all items with --candidates all")
    left = len(never.candidates(numbers))
    if not left:
        raise DataError(f"--exclude: all of the {len(numbers):,} candidates are excluded; leave some of them")
    return _Choice({"candidates": items, "exclude": never}, *_length(given.topk, left, "candidates"))


def _length(topk: int, n: int, what: str) -> tuple[int, str]:
    """The length of lists of n entries at most, and a note if that is less than --topk."""
    return min(topk, n), f"lists have {n} entries, the number of {what}, not {topk}" if n < topk else ""
