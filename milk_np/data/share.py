"""The users of a rank: which they are among all users, and the data set of them alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from os import PathLike

import numpy as np

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.shards import load_shards, shard_sizes
from milk_np.errors import DataError
from milk_np.ranks.group import ALONE, Ranks, shares


@dataclass(frozen=True, eq=False)
class Share:
    """The users of this rank: `first_user` and those after it, of `n_users` in all.

    Attributes
    ----------
    ranks : the processes of the job
    first_user, n_users : int
    whole : Dataset, optional
        On rank 0, the data set of all users, where they come from one file.
    shards, shard_sizes : numbers of this rank's shards, and of the users of each, where the data are in shards
    """

    ranks: Ranks = ALONE
    first_user: int = 0
    n_users: int = 0
    whole: Dataset | None = None
    shards: tuple[int, ...] = ()
    shard_sizes: tuple[int, ...] = ()

    def shard_rows(self) -> list[slice]:
        """The users of each of this rank's shards, as they are numbered here."""
        ends = np.cumsum((0, *self.shard_sizes)).tolist()
        return [slice(first, last) for first, last in pairwise(ends)]


def share_users(whole: Dataset, ranks: Ranks) -> tuple[Dataset, Share]:
    """This rank's users of a data set that every rank has loaded: nearly equal numbers, in the order of the set."""
    if whole.n_users < ranks.size:
        raise DataError(f"{whole.name}: has {whole.n_users} users, too few for {ranks.size} ranks; start fewer")
    bounds = shares(whole.n_users, ranks.size)
    first, last = int(bounds[ranks.rank]), int(bounds[ranks.rank + 1])
    share = Share(ranks, first, whole.n_users, whole if ranks.first else None)
    return users_of(whole, first, last), share


def share_shards(path: str | PathLike[str], ranks: Ranks) -> tuple[Dataset, Share]:
    """This rank's shards of a data set in shards: consecutive ones, nearly equal numbers of them."""
    sizes = shard_sizes(path)
    if len(sizes) < ranks.size:
        raise DataError(f"{path}: has {len(sizes)} shards, too few for {ranks.size} ranks; start fewer")
    bounds = shares(len(sizes), ranks.size)
    numbers = range(int(bounds[ranks.rank]), int(bounds[ranks.rank + 1]))
    mine = tuple(sizes[number] for number in numbers)
    share = Share(ranks, sum(sizes[: numbers.start]), sum(sizes), None, tuple(numbers), mine)
    return load_shards(path, numbers), share


def users_of(ds: Dataset, first: int, last: int) -> Dataset:
    """The data set of users `first` ... `last - 1`, numbered from 0, with all items; its hash is that of `ds`.

    Raises DataError if none of them has a training pair.
    """
    chosen = (ds.user >= first) & (ds.user < last)
    if not (ds.split[chosen] == Split.TRAIN).any():
        raise DataError(
            f"{ds.name}: none of the users {first} to {last - 1} has a training pair, so a rank would have nothing "
            "to do; start fewer ranks"
        )
    part = replace(
        ds,
        user=ds.user[chosen] - np.int32(first),
        item=ds.item[chosen],
        split=ds.split[chosen],
        user_ids=None if ds.user_ids is None else ds.user_ids[first:last],
        meta={k: v for k, v in ds.meta.items() if k != "content_hash"} | {"n_users": last - first},
        check_features=False,
    )
    part.__dict__["content_hash"] = ds.content_hash  # a part of one data set: the cached value of the whole
    return part
