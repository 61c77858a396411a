"""Data sets, in one file, in a folder and in shards, and the tables they are made from."""

from __future__ import annotations

import io
import json
import random
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mutants
import numpy as np
from fuzz_kind import Files, one_of, rarely
from job_cases import data, raw
from mutants import changed_bytes, changed_json, changed_npy

from milk_np.data import Dataset
from milk_np.data.importers.preparation import Preparation
from milk_np.data.importers.tables import from_tables
from milk_np.data.shards import load_shards
from milk_np.models.registry import make_model, make_settings
from milk_np.serving.recommend import recommend_blocks


def _digest(ds: Dataset) -> int:
    arrays = [ds.user, ds.item, ds.split, ds.item_split, ds.available, *ds.features.values()]
    named = [np.asarray(x).tobytes() for x in (ds.user_ids, ds.item_ids) if x is not None]
    return zlib.crc32(b"".join([*(np.ascontiguousarray(x).tobytes() for x in arrays), *named]))


def use_data(path: str) -> int:
    """Load a data set, describe it, rank with its features."""
    ds = Dataset.load(path)
    found = _digest(ds)
    ds.statistics()
    fitted = make_model(make_settings({"model": "profile"})).fit(ds)
    for _ in recommend_blocks(fitted, ds, np.arange(ds.n_users, dtype=np.int32), 2, candidates="all"):
        pass
    return found


def data_folder(folder: Path) -> None:
    """`set/`, a data set with checksums."""
    data(folder).save(folder / "set")


def change_folder(rng: random.Random, files: Files) -> Files:
    """An array or the meta of a folder, mostly with the checksum that it has now."""
    changed = one_of(any__npy=rarely(changed_npy), meta__json=changed_json)(rng, files)
    if rng.random() < 0.85:
        for name, content in changed.items():
            if name.endswith(".npy") and content is not files[name]:
                _seal(changed, name, content)
    return changed


def _seal(files: Files, name: str, content: bytes) -> None:
    """Give the meta beside an array its checksum, if the meta can still be read."""
    meta = f"{name.rpartition('/')[0]}/meta.json"
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        value = json.loads(files[meta])
        value["checksums"][Path(name).stem] = f"{zlib.crc32(content):08x}"
        files[meta] = json.dumps(value).encode()


def use_shards() -> int:
    """Load a data set in shards, all of it and a part."""
    load_shards("shards", [1])
    return _digest(load_shards("shards"))


def raw_with_times(folder: Path) -> None:
    """`pairs.csv` with times and ratings, `image.npy` with `ids.txt`, and `text.npz` with ids."""
    raw(folder)
    lines = (folder / "pairs.csv").read_text().split()
    more = [f"{line},2024-05-{n % 28 + 1:02d},{n % 5 + 1}" for n, line in enumerate(lines[1:])]
    (folder / "pairs.csv").write_text("\n".join(["user,item,time,rating", *more]) + "\n")
    text = np.load(folder / "text.npy")
    np.savez(folder / "text.npz", ids=np.arange(len(text)).astype(str), vectors=text)
    (folder / "ids.txt").write_text("".join(f"{number}\n" for number in range(len(text))))


def use_tables(pairs: str = "pairs.csv", text: str = "text.npz") -> str:
    """A data set from tables."""
    columns = {"time_col": "time", "rating_col": "rating"}
    how = Preparation(min_rating=1.0)
    features, ids = {"image": "image.npy", "text": text}, {"image": "ids.txt"}
    return from_tables(pairs, features, how, ids=ids, **columns).statistics()


def parquet(folder: Path) -> None:
    """The same as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    raw_with_times(folder)
    lines = [line.split(",") for line in (folder / "pairs.csv").read_text().split()]
    columns = dict(zip(lines[0], map(list, zip(*lines[1:], strict=True)), strict=True))
    pq.write_table(pa.table({**columns, "rating": [float(x) for x in columns["rating"]]}), folder / "pairs.parquet")
    text = np.load(folder / "text.npz")
    pq.write_table(
        pa.table({"item": text["ids"].tolist(), "vector": text["vectors"].tolist()}), folder / "text.parquet"
    )


def change_parquet(rng: random.Random, content: bytes) -> bytes:
    """A Parquet file whose columns have other types, values, names, or bytes."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    if rng.random() < 0.3:
        return changed_bytes(rng, content)
    table = pq.read_table(io.BytesIO(content))
    kept = table.schema.metadata
    at = rng.randrange(table.num_columns)
    name, size = table.column_names[at], table.num_rows
    columns: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([None] * size),
        lambda: pa.array(list(range(size)), pa.uint64()),
        lambda: pa.array([rng.choice(mutants.WORDS[:18]) for _ in range(size)]),
        lambda: pa.array([b"\xff" * rng.randrange(4) for _ in range(size)]),
        lambda: pa.array([[1.0] * rng.randrange(3) for _ in range(size)]),
        lambda: pa.array([rng.choice(mutants.FLOATS) for _ in range(size)]),
        lambda: pa.array([2**64 - 1 - n for n in range(size)], pa.uint64()),
        lambda: pa.array([{"a": n} for n in range(size)]),
        lambda: pa.array(list(range(size)), pa.timestamp("ns")),
        lambda: table.column(at).slice(0, size).combine_chunks().dictionary_encode(),
        lambda: pa.array([rng.choice((True, False, None)) for _ in range(size)]),
        lambda: pa.array([[[1.0]]] * size),
    )
    with suppress(pa.ArrowException):
        column = rng.choice(columns)()
        match rng.randrange(6):
            case 0:
                table = table.append_column(name, column)
            case 1:
                table = table.rename_columns(
                    [rng.choice(("", "user", "item", "x")) if n == name else n for n in table.column_names]
                )
            case 2:
                table = table.slice(0, rng.choice((0, 1)))
            case _:
                table = table.set_column(at, name, column)
    table = table.replace_schema_metadata(kept)
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()
