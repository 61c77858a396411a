"""Lists of one part of the users: `milk-recommend --shard i/n`."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.asked import Asked, is_file
from milk_np.cli.model_file import is_untrained, model_path
from milk_np.cli.source import Source
from milk_np.data import Dataset
from milk_np.serving import output
from milk_np.serving.output import Table
from milk_np.serving.parts import Part, model_print, write_part

_OWN = ("source", "data", "shard", "out", "rejects", "quiet", "device", "threads")
"""Options that don't change what the lists are made of, or that stand in a part by their contents."""


def of_shard(given: argparse.Namespace, asked: Asked, users: NDArray[np.int32]) -> tuple[Asked, NDArray[np.int32]]:
    """Those of the `users` (n,), as they were `asked` for, that --shard names; all without it."""
    if not given.shard:
        return asked, users
    kept = np.zeros(len(users), np.bool_)
    kept[Part(given.shard[0], given.shard[1], {}).rows(len(users))] = True
    return asked.only(kept), users[kept]


def write_lists(given: argparse.Namespace, source: Source, tables: Iterable[Table]) -> None:
    """Write the lists to --out: as a part if --shard is given."""
    if not given.shard:
        output.write_table(given.out, tables)
        return
    write_part(given.out, _at_least_one(tables, source), Part(given.shard[0], given.shard[1], _about(given, source)))


def _about(given: argparse.Namespace, source: Source) -> dict[str, Any]:
    """What the lists are made of, which has to be the same for all parts."""
    options = {name: value for name, value in vars(given).items() if name not in _OWN and value not in (None, False)}
    known = source.data
    return {
        "model": given.source if is_untrained(given.source) else model_print(model_path(given.source)),
        "data": (known.meta.get("content_hash") or known.content_hash) if isinstance(known, Dataset) else "",
        **{name: _print_of(value) for name, value in options.items()},
    }


def _print_of(value: Any) -> Any:
    """What an option says: the fingerprint of a file's or a folder's contents, or the value itself."""
    if not isinstance(value, str) or not is_file(value):
        return value
    path, digest = Path(value), hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _at_least_one(tables: Iterable[Table], source: Source) -> Iterator[Table]:
    """`tables`, or one without rows where there are more parts than users."""
    some = False
    for table in tables:
        some = True
        yield table
    if not some:
        user, item = (
            np.zeros(0, np.int32 if names is None else names.dtype) for names in (source.user_names, source.item_names)
        )
        yield {"user": user, "rank": np.zeros(0, np.int32), "item": item, "score": np.zeros(0, np.float32)}
