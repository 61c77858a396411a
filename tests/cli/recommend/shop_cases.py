"""A shop whose lists are made by the batch: a trained kernel profile, files of new items, what a line printed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trained_cases import Trained

from milk_np.models.stored import StoredModel

ROWS = {"image": np.linspace(-8, 8, 24, dtype=np.float32).reshape(4, 6), "text": 12 * np.eye(4, 5, dtype=np.float32)}
IDS = ["f0", "f1", "f2", "f3"]


@dataclass(frozen=True)
class Shop:
    """A trained kernel profile, which serves histories, and its data."""

    run: str
    data: Trained
    model: StoredModel


@dataclass(frozen=True)
class Shown:
    """What a line printed."""

    code: int
    rows: list[dict[str, str]]
    err: str

    def lists(self, query: str = "user", found: str = "item") -> dict[str, list[str]]:
        """Lists by what they are for."""
        out: dict[str, list[str]] = {}
        for row in self.rows:
            out.setdefault(row[query], []).append(row[found])
        return out


Call = Callable[..., Shown]


def npz(folder: Path, ids: list[str] | None = IDS, **rows: Any) -> str:
    """A file of new items."""
    arrays: dict[str, Any] = rows or ROWS
    path = folder / "fresh.npz"
    np.savez(path, **arrays, **({} if ids is None else {"item_ids": np.array(ids)}))
    return str(path)


def text(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def rejects(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def pooled(shop: Shop, vector: Any, k: int, left_out: set[str] = frozenset(), ids: Any = None) -> list[str]:  # type: ignore[assignment]
    """The best of the catalogue's new items and the fresh ones, computed one by one."""
    new = shop.data.ds.new_items() if ids is None else ids
    names = [f"i{j}" for j in new] + IDS
    vectors = [*shop.model.item_factors(new), *shop.model.encode_items(ROWS)]
    score = {name: float(vector @ each) for name, each in zip(names, vectors, strict=True) if name not in left_out}
    return sorted(score, key=lambda name: (-score[name], names.index(name)))[:k]
