"""Pretrained tables, learned once for all runs beside one another that would learn the same."""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import DataError, DivergedError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.files.schema import FLOATS, Field, Schema, check, check_plain
from milk_np.settings.pretrained import PretrainedSettings
from milk_np.training.pretraining.learners import LEARNERS

KIND, FOLDER, VERSION = "pretrained tables", "pretrained", 1
"""Increase VERSION when the same settings come to mean other tables."""
KEPT = 4
"""Tables that a process remembers, so that trials of a search share them."""


class Pretrained(NamedTuple):
    """Vectors of users, (U, K), and of items, (I, K), float32 on the host; zeros where there is no training pair."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


class Found(NamedTuple):
    """Pretrained tables, and the core seconds that learning them took, now or before."""

    tables: Pretrained
    core_seconds: float
    learned: bool
    """Whether they were learned now."""

    @property
    def spared(self) -> float:
        """Core seconds that were not spent, since the tables were there."""
        return 0.0 if self.learned else self.core_seconds


def pretrained(backend: Backend, ds: Dataset, how: PretrainedSettings, beside: Path | None = None) -> Found:
    """The tables that `how` describes, from the training pairs of `ds` alone.

    With a folder `beside`, they are read from `pretrained/` in it if they are there, and kept there otherwise. The
    name is a hash of the training pairs and of what decides the result: features, masks and the settings of the
    system that uses the tables have no part in it. A file that can't be written is
    done without. The process remembers the last few, too.

    Raises DivergedError if the tables are not finite.
    """
    name = f"{how.backbone}-{key(ds, how)}.npz"
    path = None if beside is None else beside / FOLDER / name
    found = _RECENT.get(name) or _read(path, ds)
    if found is None:
        busy = time.process_time()
        tables = learned(backend, ds, how)
        found = Found(tables, round(time.process_time() - busy, 3), learned=True)
    if path is not None and not path.exists():
        _keep(path, found)
    _remember(name, found)
    return found


def learned(backend: Backend, ds: Dataset, how: PretrainedSettings) -> Pretrained:
    """Learn the tables, and put zeros where a user or an item has no training pair."""
    user, item = ds.interactions(Split.TRAIN)
    P, Q = (backend.to_host(table) for table in LEARNERS[how.backbone](backend, ds, how))
    tables = Pretrained(_only(P, user), _only(Q, item))
    if not all(np.isfinite(table).all() for table in tables):
        raise DivergedError(f"pretraining ({how.backbone}): the vectors are no longer finite; lower --backbone-lr")
    return tables


def key(ds: Dataset, how: PretrainedSettings) -> str:
    """20 hexadecimal digits of the hash of all that decides the tables."""
    chosen = {name: value for name, value in how.to_dict().items() if name.startswith("backbone")}
    layers = chosen.pop("backbone_layers")
    chosen = {"backbone": how.backbone} if how.backbone == "svd" else chosen
    sizes: dict[str, object] = {"users": ds.n_users, "items": ds.n_items, "dim": how.dim, "seed": how.seed}
    sizes |= {"layers": layers} if how.backbone == "light-gcn" else {}
    text = json.dumps({"version": VERSION, **chosen, **sizes}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for array in (*ds.interactions(Split.TRAIN), ds.train_items):
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()[:20]


def _only(table: NDArray[np.float32], ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """A copy of the table with zeros in the rows that are not among `ids`."""
    out = np.zeros(table.shape, np.float32)
    there = np.unique(ids)
    out[there] = table[there]
    return out


_RECENT: dict[str, Found] = {}


def _remember(name: str, found: Found) -> None:
    for table in found.tables:
        table.setflags(write=False)
    _RECENT.pop(name, None)
    _RECENT[name] = found._replace(learned=False)
    for oldest in list(_RECENT)[:-KEPT]:
        _RECENT.pop(oldest, None)


SCHEMA: Schema = {"users": Field(FLOATS, ("U", "K")), "items": Field(FLOATS, ("I", "K"))}


def _read(path: Path | None, ds: Dataset) -> Found | None:
    """The tables in the file; None if there is none, or it is damaged and removed: they can be learned again."""
    if path is None:
        return None
    try:
        arrays, meta = read_npz(path, KIND)
        check_plain(path, arrays, SCHEMA)
        check(path, arrays, SCHEMA, {"U": ds.n_users, "I": ds.n_items})
        tables = Pretrained(arrays["users"].astype(np.float32), arrays["items"].astype(np.float32))
        return Found(tables, _seconds(path, meta.get("core_seconds")), learned=False)
    except DataError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def _seconds(path: Path, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise DataError(f"{path}: its core_seconds: expected a number of at least 0, got {value!r}")
    return float(value)


def _keep(path: Path, found: Found) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz_atomic(path, found.tables._asdict(), {"kind": KIND, "core_seconds": found.core_seconds})
