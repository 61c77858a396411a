"""Lists of one part of the users: `milk-recommend --shard i/n`."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.model_file import is_untrained, model_path
from milk_np.cli.source import Source
from milk_np.data import Dataset
from milk_np.serving import output
from milk_np.serving.output import Table
from milk_np.serving.parts import Part, model_print, write_part

_OWN = ("source", "data", "users", "shard", "out", "rejects", "quiet", "device", "threads")
"""Options that don't change what the lists are made of, or that stand in a part by their contents."""


def of_shard(given: argparse.Namespace, users: NDArray[np.int32]) -> NDArray[np.int32]:
    """Those of `users` (n,) that --shard asks for; all without it."""
    return users[Part(given.shard[0], given.shard[1], {}).rows(len(users))] if given.shard else users


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
        "data": known.meta.get("content_hash", known.content_hash) if isinstance(known, Dataset) else "",
        "users": given.users if given.users == "all" else _print_of(given.users),
        **{name: value if isinstance(value, (int, float, str)) else str(value) for name, value in options.items()},
    }


def _print_of(users: str) -> str:
    """Fingerprint of the users that an option names: of the file's contents, or of the ids themselves."""
    file = len(users) < 256 and Path(users).is_file()
    return hashlib.sha256(Path(users).read_bytes() if file else users.encode()).hexdigest()


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
