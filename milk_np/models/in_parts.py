"""Writing a model in shards: the users of each shard with their part of the catalogue; what isn't of users once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data.share import Share
from milk_np.files import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.training.keeping import write_parts


def write_in_parts(
    path: str | Path,
    share: Share,
    arrays: Mapping[str, Any],
    tables: Collection[str],
    catalogue: Catalogue,
    common: Callable[[], Arrays],
    meta: Mapping[str, Any],
) -> None:
    """Write this rank's shards of the parameters `arrays`, of which the `tables` have a row for each user.

    `common` gives what every model stores, on rank 0; the catalogue is that of this rank's users.
    """
    rows, items = share.shard_rows(), dict(arrays)
    trained = np.any(share.ranks.all_values(catalogue.trained), axis=0)
    if share.ranks.first:
        items |= common() | {"trained": trained}
        items.pop("pairs_print", None)  # of this rank's users; those of data in shards have ids
    parts = [{name: arrays[name][r] for name in tables} | catalogue.users_part(r) for r in rows]
    write_parts(share, path, {k: x for k, x in items.items() if k not in parts[0]}, parts, meta)
