"""milk-recommend and milk-evaluate with a model in shards: part by part, so that its users never meet."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.asked import Asked, ids_asked
from milk_np.cli.lists import Delivered, Job
from milk_np.cli.rejects import Rejects
from milk_np.cli.source import Source
from milk_np.data.shards import load_shards, shard_sizes
from milk_np.errors import DataError, SettingsError
from milk_np.evaluation.evaluate import Values, merged_values, values_of
from milk_np.evaluation.result import Evaluation
from milk_np.models.parts import Parts
from milk_np.ranks.group import Ranks, shares
from milk_np.serving.output import Table
from milk_np.serving.recommend import candidate_items, recommend_blocks

if TYPE_CHECKING:
    from milk_np.data import Dataset

_OTHERS = ("history", "items", "similar", "new_item", "fresh", "exclude", "data", "shard")
"""Options of milk-recommend that want all users or items of a model at once."""


class PartLists:
    """Tables of the lists of --users, part by part; `rows` of them so far. Users whom no part knows go to `rejects`."""

    def __init__(self, given: argparse.Namespace, parts: Parts, device: str) -> None:
        for name in _OTHERS:
            if getattr(given, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise SettingsError(f"{option}: a model in shards makes lists for --users; leave it out")
        self._given, self._parts, self._device = given, parts, device
        self._asked = None if given.users == "all" else ids_asked(given.users, "--users", "user")
        self.rejects, self.rows = Rejects(), 0

    def __iter__(self) -> Iterator[Table]:
        wanted = self._asked or Asked("--users", [], [])
        served = np.zeros(len(wanted.ids), np.bool_)
        for model in self._parts.models(device=self._device):
            known = model.catalogue
            source = Source(model, known, model.fitted_imputer().modalities, known.user_ids, known.item_ids)
            numbers = source.user_index.find(wanted.ids)
            served |= numbers >= 0
            some = wanted.only(numbers >= 0), numbers[numbers >= 0]
            asked, users = source.users("all") if self._asked is None else some
            delivered = Delivered(self._job(source, asked, users), self.rejects)
            yield from delivered
            self.rows += delivered.rows
        for n in np.flatnonzero(~served).tolist():
            why = f"user {wanted.ids[n]!r} is not in the model"
            self.rejects.add(wanted.place(n), "user", wanted.ids[n], why, self._given.skip_unknown)

    def _job(self, source: Source, asked: Asked, users: NDArray[np.int32]) -> Job:
        """The lists of users of one part."""
        given = self._given
        chosen = source.candidates(given.candidates or "new")
        k = min(given.topk, len(candidate_items(source.data, chosen)))
        seen = not given.include_seen
        lists = recommend_blocks(source.model, source.data, users, k, candidates=chosen, exclude_seen=seen)
        return Job(lists, ("user", source.user_index.names), ("item", source.item_index.names), asked.place, k)


class How(NamedTuple):
    """How lists are evaluated; see `milk_np.evaluation.evaluate`."""

    split: int
    topk: tuple[int, ...]
    candidates: str
    device: str


def evaluated_parts(
    parts: Parts, data: str, masked: Callable[[Dataset], Dataset], how: How, ranks: Ranks
) -> Evaluation | None:
    """The evaluation of a model in shards on the data in shards that it was trained on; on rank 0 alone.

    A rank evaluates some parts, one after the other.
    """
    if tuple(shard_sizes(data)) != parts.sizes:
        raise DataError(
            f"--data {data}: expected the data set in {len(parts.sizes)} shards that the model was trained on"
        )
    bounds = shares(len(parts.sizes), ranks.size)
    numbers, first = range(int(bounds[ranks.rank]), int(bounds[ranks.rank + 1])), sum(parts.sizes[: bounds[ranks.rank]])
    values: list[Values] = []
    for number, model in zip(numbers, parts.models(numbers, device=how.device), strict=True):
        ds = masked(load_shards(data, [number]))
        found = values_of(model, ds, how.split, topk=how.topk, candidates=how.candidates)
        values.append(found._replace(users=found.users + np.int32(first)))
        first += parts.sizes[number]
    everything = [each for some in ranks.first_values(values) for each in some]
    return ranks.kept_by_first(lambda: merged_values(everything, how.split, how.candidates))
