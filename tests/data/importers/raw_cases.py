"""Raw data as importers meet it: tables, feature files, folders of other programs."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data import (
    Dataset,
)

PAIRS = [(u, i) for u in range(8) for i in range(12) if (u * 5 + i * 3) % 4 < 2]
FEATURES = {
    "image": np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32),
    "text": np.random.default_rng(1).normal(size=(12, 3)).astype(np.float16),
}


def write_table(path: Path, pairs: list[tuple[Any, Any]], header: str = "user,item", sep: str = ",") -> Path:
    lines = [header.replace(",", sep), *(sep.join(map(str, pair)) for pair in pairs)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_features(folder: Path, suffix: str = "", features: dict[str, np.ndarray] | None = None) -> dict[str, Path]:
    paths = {}
    for name, rows in (FEATURES if features is None else features).items():
        paths[name] = folder / f"{name}{suffix}.npy"
        np.save(paths[name], rows)
    return paths


def pairs_of(ds: Dataset) -> set[tuple[str, str]]:
    """Pairs in original ids."""
    users = np.arange(ds.n_users).astype(str) if ds.user_ids is None else ds.user_ids
    items = np.arange(ds.n_items).astype(str) if ds.item_ids is None else ds.item_ids
    return set(zip(users[ds.user].tolist(), items[ds.item].tolist(), strict=True))


def words(pairs: list[tuple[Any, Any]]) -> set[tuple[str, str]]:
    return {(str(u), str(i)) for u, i in pairs}


def milk_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_features(folder, "_feat")
    for name, items in (("train", range(9)), ("val", [9]), ("test", [10])):
        lines = [f"{u} " + " ".join(str(i) for v, i in PAIRS if v == u and i in items) for u in range(8)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    np.save(folder / "cold_item_index.npy", np.array([9, 10, 11]))
    np.save(folder / "cold_missing_item_index.npy", np.array([10]))
    return folder


def mmrec_folder(folder: Path, label: dict[int, int] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    write_features(folder, "_feat")
    rows = [(u, i, 5.0, 0, (label or {}).get(i, 0 if label else (u + i) % 3)) for u, i in PAIRS]
    write_table(folder / "toys.inter", rows, "userID,itemID,rating,timestamp,x_label", sep="\t")
    return folder
