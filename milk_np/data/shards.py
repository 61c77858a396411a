"""Data sets in shards: a folder of the items, and one for each shard with its users and their pairs.

    NAME/meta.json             how many shards and users, hash of all pairs
    NAME/items/                item_split, modalities, available, feature_NAME, item_ids
    NAME/users-00000/ ...      user, item, split, user_ids: users of a shard are numbered from 0

A rank reads the items and its own shards. Users always have ids there: their numbers, where the data had none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data import storage
from milk_np.data.arrays import PAIRS_HASH
from milk_np.data.dataset import Dataset
from milk_np.errors import DataError, SettingsError
from milk_np.files.schema import WHOLE, Field, check
from milk_np.files.writing import sync
from milk_np.ranks.group import shares

SHARDS = "shards"
"""Where `meta.json` has the number of users of each shard."""
_MOST_USERS = 1 << 31
ITEMS, USERS = "items", "users-{:05d}"
_OF_USERS = {
    "user": Field(WHOLE, ("n",), low=0, below="U"),
    "item": Field(WHOLE, ("n",), low=0),
    "split": Field(WHOLE, ("n",), low=0),
    "user_ids": Field("U", ("U",)),
}
"""Arrays of a shard of n pairs and U users."""


def write_shards(ds: Dataset, path: str | PathLike[str], count: int) -> Path:
    """Write `ds` to the folder `path` in `count` shards of nearly equal numbers of users; whole or absent."""
    path = Path(path)
    if not 1 <= count <= ds.n_users:
        raise SettingsError(f"--shards: expected 1 to {ds.n_users}, the number of users, got {count}")
    bounds, arrays = shares(ds.n_users, count).tolist(), ds.arrays()
    arrays["user_ids"] = np.arange(ds.n_users).astype(np.str_) if ds.user_ids is None else ds.user_ids
    meta = {k: v for k, v in ds.meta.items() if k not in ("n_users", "content_hash")} | {
        PAIRS_HASH: _pairs_hash(arrays)
    }
    with storage.new_folder(path) as folder:
        _write(folder / ITEMS, {k: v for k, v in arrays.items() if k not in _OF_USERS}, meta)
        for number, (first, last) in enumerate(pairwise(bounds)):
            _write(folder / USERS.format(number), _of_users(arrays, first, last), {"name": ds.name})
        (folder / "meta.json").write_text(storage.meta_text(meta | {SHARDS: np.diff(bounds).tolist()}) + "\n")
    return path


def _of_users(arrays: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    chosen = (arrays["user"] >= first) & (arrays["user"] < last)
    part = {name: arrays[name][chosen] for name in ("user", "item", "split")}
    return part | {"user": part["user"] - np.int32(first), "user_ids": arrays["user_ids"][first:last]}


def _write(folder: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    storage.write_meta(folder, meta)
    for file in folder.iterdir():
        sync(file)


def _pairs_hash(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in _OF_USERS:
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape};".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data.cast("B"))
    return digest.hexdigest()


def shard_sizes(path: str | PathLike[str]) -> list[int]:
    """Number of users of each shard of the data set `path`; none if it isn't in shards. DataError if it is damaged."""
    file = Path(path) / "meta.json"
    if not file.is_file():
        return []
    with storage.naming(file):
        sizes = storage.read_meta(file).get(SHARDS, [])
    if not isinstance(sizes, list) or not all(type(n) is int and 0 < n <= _MOST_USERS for n in sizes):
        raise DataError(f"{file}: {SHARDS}: expected numbers of users, got {sizes!r}; prepare the data again")
    return sizes


def load_shards(path: str | PathLike[str], chosen: Sequence[int] | None = None, check: bool = True) -> Dataset:
    """The data set of the users of the shards `chosen`, all by default; other shards are not read.

    Raises the errors of `Dataset.load`.
    """
    path, sizes = Path(path), shard_sizes(path)
    numbers = range(len(sizes)) if chosen is None else chosen
    if not sizes or any(number >= len(sizes) for number in numbers):
        raise DataError(
            f"{path}: expected shards {', '.join(map(str, numbers))}, it has {len(sizes)}; prepare it again"
        )
    with storage.naming(path):
        items, meta = storage.read_part(path / ITEMS, check)
        parts = [_shard(path / USERS.format(number), sizes[number]) for number in numbers]
    before = np.cumsum([0, *(sizes[number] for number in numbers)])
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in ("item", "split", "user_ids")}
    users = [part["user"].astype(np.int32) + np.int32(n) for part, n in zip(parts, before[:-1], strict=True)]
    arrays["user"] = np.concatenate(users)
    names = tuple(items.pop("modalities").tolist())
    features = {name: items.pop(storage.FEATURE + name) for name in names}
    with storage.naming(path):
        return Dataset(modalities=names, features=features, meta=meta, check_features=check, **items, **arrays)


def _shard(folder: Path, n_users: int) -> dict[str, Any]:
    with storage.naming(folder):
        arrays, _ = storage.read_part(folder, True)
        check(folder, arrays, _OF_USERS, {"U": n_users})
    return arrays
