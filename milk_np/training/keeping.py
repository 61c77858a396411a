"""Files of a job that several ranks share.

Where the data are one file, so is what is kept: rank 0 writes it, tables of users arriving from their ranks in pieces.
Where the data are in shards, each rank writes the tables of its own shards, and they never meet:

    NAME/parts.json                    which files belong together; replaced when all are whole
    NAME/items.TOKEN.npz               what isn't of users
    NAME/users-00000.TOKEN.npz ...     tables of the users of a shard
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data.share import Share
from milk_np.errors import DataError
from milk_np.files import Arrays, read_npz, write_json_atomic, write_npz_atomic
from milk_np.files.parsing import json_object
from milk_np.files.pieces import Pieces
from milk_np.files.writing import remove_leftovers

PARTS = "parts.json"


def write_shared(
    share: Share | None,
    path: str | Path,
    arrays: Mapping[str, Any],
    tables: Collection[str],
    meta: Mapping[str, object],
) -> None:
    """`write_npz_atomic`, the rows of the arrays named `tables` coming from all ranks; whole afterwards.

    Data in shards give a folder, see above, which is named like the file.
    """
    if share is None:
        write_npz_atomic(path, arrays, meta)
        return
    if share.shards:
        parts = [{name: arrays[name][rows] for name in arrays if name in tables} for rows in share.shard_rows()]
        write_parts(share, path, {k: x for k, x in arrays.items() if k not in tables}, parts, meta)
        return
    if share.ranks.first:
        write_npz_atomic(path, {k: _pieces(share, x) if k in tables else x for k, x in arrays.items()}, meta)
    else:
        for name in arrays:
            if name in tables:
                for _ in share.ranks.rows_to_first(arrays[name]):
                    pass
    share.ranks.any(False)


def _pieces(share: Share, rows: Any) -> Pieces:
    return Pieces((share.n_users, *rows.shape[1:]), rows.dtype, partial(share.ranks.rows_to_first, rows))


def read_shared(
    share: Share | None, path: Path, kind: str, tables: Collection[str], n_users: int
) -> tuple[Arrays, dict[str, Any]] | None:
    """What `write_shared` wrote, the `tables` of this rank's users alone, of whom there are `n_users`; None if nothing.

    The number of ranks may be another one. Raises DataError as `read_npz` does.
    """
    if share is not None and share.shards:
        return _read_parts_of(share, folder_of(path), kind) if (folder_of(path) / PARTS).exists() else None
    if not path.exists():
        return None
    if share is None:
        return read_npz(path, kind)
    mine = slice(share.first_user, share.first_user + n_users)
    return read_npz(path, kind, dict.fromkeys(tables, mine))


# Folders of parts


def folder_of(path: str | Path) -> Path:
    """The folder that holds in parts what `path` (.npz) would hold."""
    return Path(path).with_suffix("")


def write_parts(
    share: Share,
    path: str | Path,
    items: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any],
) -> None:
    """Write this rank's `parts`, one for each of its shards, and on rank 0 what isn't of users.

    An earlier version stays until every rank has written: a killed rank leaves that one whole. What it hadn't finished
    goes with the next version, whose names are others.
    """
    ranks, folder = share.ranks, folder_of(path)
    ranks.on_first(lambda: folder.mkdir(exist_ok=True))
    token = ranks.from_first(secrets.token_hex(8))
    for number, part in zip(share.shards, parts, strict=True):
        write_npz_atomic(folder / f"users-{number:05d}.{token}.npz", part, meta)
    if ranks.first:
        write_npz_atomic(folder / f"items.{token}.npz", items, meta)
    users = [n for sizes in ranks.all_values(share.shard_sizes) for n in sizes]
    if ranks.first:
        write_json_atomic(folder / PARTS, {"token": token, "users": users})
        for earlier in folder.glob("*.npz"):
            if f".{token}." not in earlier.name:
                earlier.unlink(missing_ok=True)
        remove_leftovers(folder)
    ranks.any(False)


def parts_of(folder: Path) -> tuple[str, list[int]]:
    """The token and the number of users of each shard of a folder of parts. DataError if it can't be read."""
    file = folder / PARTS
    try:
        found = json_object(file)
        token, users = str(found["token"]), [int(n) for n in found["users"]]
    except (DataError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{file}: expected the list of a folder's parts ({error}); train again") from error
    if not token.isalnum() or not users:
        raise DataError(f"{file}: expected a token and numbers of users, got {token!r} and {users}; train again")
    return token, users


def read_items(folder: Path, kind: str) -> tuple[Arrays, dict[str, Any]]:
    """What isn't of users, and the meta."""
    return read_npz(folder / f"items.{parts_of(folder)[0]}.npz", kind)


def read_users(folder: Path, kind: str, numbers: Sequence[int]) -> Iterator[Arrays]:
    """The tables of the users of some shards."""
    token, _ = parts_of(folder)
    for number in numbers:
        yield read_npz(folder / f"users-{number:05d}.{token}.npz", kind)[0]


def _read_parts_of(share: Share, folder: Path, kind: str) -> tuple[Arrays, dict[str, Any]]:
    items, meta = read_items(folder, kind)
    parts = list(read_users(folder, kind, share.shards))
    return items | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, meta
