"""milk-recommend and milk-evaluate with a model in shards: part by part, so that its users never meet."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.rejects import Rejects
from milk_np.cli.source import words
from milk_np.data.shards import load_shards, shard_sizes
from milk_np.errors import DataError, SettingsError
from milk_np.evaluation.evaluate import Evaluation, Values, merged_values, values_of
from milk_np.models.parts import Parts
from milk_np.ranks.group import Ranks, shares
from milk_np.serving.recommend import Ranked, candidate_items, recommend_blocks

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.models.stored import StoredModel

_OTHERS = ("history", "items", "similar", "new_item", "data", "shard")


class Lists(NamedTuple):
    """Lists of a block of users, and the ids of the part's users and items."""

    found: Ranked
    user_ids: NDArray[np.str_] | None
    item_ids: NDArray[np.str_] | None


class How(NamedTuple):
    """How lists are evaluated; see `milk_np.evaluation.evaluate`."""

    split: int
    topk: tuple[int, ...]
    candidates: str
    device: str


def lists_of_parts(given: argparse.Namespace, parts: Parts, rejects: Rejects, device: str) -> Iterator[Lists]:
    """Lists of --users, part by part. Users whom no part knows are rejected."""
    for name in _OTHERS:
        if getattr(given, name) is not None:
            raise SettingsError(f"--{name.replace('_', '-')}: a model in shards makes lists for --users; leave it out")
    asked = None if given.users == "all" else words(given.users, "--users")
    unknown = set(asked or ())
    for model in parts.models(device=device):
        users, known, kind = _asked(model, asked, unknown), model.catalogue, given.candidates or "new"
        k = min(given.topk, len(candidate_items(known, kind)))
        for found in recommend_blocks(model, known, users, k, candidates=kind, exclude_seen=not given.include_seen):
            yield Lists(found, known.user_ids, known.item_ids)
    for word in sorted(unknown):
        rejects.add("user", word, f"user {word!r} is not in the model")


def _asked(model: StoredModel, asked: list[str] | None, unknown: set[str]) -> NDArray[np.int32] | None:
    """Numbers of the users of this part that were asked for; those found are taken from `unknown`."""
    if asked is None:
        return None
    numbers = model.catalogue.users.find(asked)
    unknown -= {word for word, number in zip(asked, numbers.tolist(), strict=True) if number >= 0}
    found: NDArray[np.int32] = numbers[numbers >= 0]
    return found


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
