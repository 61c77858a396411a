"""Lists in parts: block i of n of the users, made by anyone at any time, and merged when all parts are there.

A part is a Parquet file that is whole or absent. What its lists are made of stands in the file, so that parts of
another model, other data or other options can't be mixed up.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError
from milk_np.files import refuse_special
from milk_np.files.writing import write_atomic
from milk_np.serving.output import Table, parquet_module, write_parquet, write_table

KEY = b"milk_np"
_SHOWN = 10
_KINDS = ("string", "large_string", "int", "uint", "float", "double")
"""Beginnings of the types of columns, as Arrow names them."""


@dataclass(frozen=True)
class Part:
    """Which part of which lists a file holds."""

    number: int
    """From 1."""
    of: int
    about: Mapping[str, Any]
    """What the lists are made of: JSON values by name."""

    def rows(self, n: int) -> slice:
        """Its share of `n` users."""
        return slice(n * (self.number - 1) // self.of, n * self.number // self.of)

    @property
    def name(self) -> str:
        """Such as 3/8."""
        return f"{self.number}/{self.of}"


def write_part(path: str | Path, tables: Iterable[Table], part: Part) -> None:
    """Write the lists of a part, whole or not at all; at least one table, be it without rows."""
    meta = {KEY: json.dumps(asdict(part), sort_keys=True).encode()}
    write_atomic(path, lambda file: write_parquet(file, tables, meta))


def read_part(path: str | Path) -> Part:
    """Which part a file holds. Raises DataError if it isn't one."""
    parquet = parquet_module()
    refuse_special(path)
    try:
        found = json.loads((parquet.read_schema(path).metadata or {})[KEY])
        part = Part(int(found["number"]), int(found["of"]), dict(found["about"]))
        if not 1 <= part.number <= part.of:
            raise ValueError(f"it says that it is part {part.name}")
        return part
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"{path}: expected a part of lists, as milk-recommend --shard writes it ({error})") from error


def tables_of(path: str | Path) -> Iterator[Table]:
    """Columns of a part, one batch of rows at a time. Raises DataError if they can't be read, or aren't lists."""
    parquet = parquet_module()
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield {name: _column(name, batch.column(name)) for name in batch.schema.names}
    except Exception as error:  # as above
        raise DataError(f"{path}: its lists can't be read ({error}); make the part again") from error


def _column(name: str, column: Any) -> NDArray[Any]:
    """One column of ids, numbers or scores; ValueError for anything else, and for values that are missing."""
    kind = str(column.type)
    if column.null_count or not kind.startswith(_KINDS):
        raise ValueError(f"column {name!r}: expected text or numbers, got {column.null_count} missing of {kind}")
    if kind.endswith("string"):
        return np.array(column.to_pylist(), np.str_)
    array: NDArray[Any] = column.to_numpy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"column {name!r}: expected finite numbers, got NaN or infinity")
    return array


def merge(paths: Sequence[Path], out: str | Path) -> int:
    """Write the lists of all parts to one file, in the order of the parts; returns how many parts there were.

    Raises DataError if one is missing, there twice, or made of something else than the others.
    """
    ordered = complete(paths)
    write_table(out, _alike(ordered))
    return len(ordered)


def _alike(paths: Sequence[Path]) -> Iterator[Table]:
    """The tables of all files, which have to have the same columns."""
    first: list[tuple[str, str]] = []
    for path in paths:
        for table in tables_of(path):
            found = [(name, _kind(column)) for name, column in table.items()]
            first = first or found
            if found != first:
                wanted, got = (", ".join(f"{name} ({kind})" for name, kind in each) for each in (first, found))
                raise DataError(f"{path}: expected the columns {wanted} of {paths[0]}, got {got or 'none'}")
            yield table


def _kind(column: NDArray[Any]) -> str:
    """The type of a column; texts of any length are alike."""
    return "text" if column.dtype.kind == "U" else column.dtype.name


def complete(paths: Sequence[Path]) -> list[Path]:
    """The files by the number of their part. Raises DataError unless they are all parts of the same lists."""
    if not paths:
        raise DataError("no parts: expected Parquet files that milk-recommend --shard wrote")
    first = read_part(paths[0])
    found: dict[int, Path] = {}
    for path in paths:
        part = read_part(path)
        if what := different(first, part):
            raise DataError(f"{path}: made of other {what} than {paths[0]}; merge parts of the same lists")
        if part.number in found:
            raise DataError(f"{path}: is part {part.name}, and so is {found[part.number]}; give each part once")
        found[part.number] = path
    if missing := first.of - len(found):
        absent = (f"{number}/{first.of}" for number in range(1, first.of + 1) if number not in found)
        more = f" and {missing - _SHOWN:,} more" if missing > _SHOWN else ""
        raise DataError(
            f"missing {', '.join(islice(absent, _SHOWN))}{more} of {first.of:,} parts; make each with "
            "milk-recommend --shard"
        )
    return [found[number] for number in sorted(found)]


def different(one: Part, other: Part) -> str:
    """What two parts' lists are made of that isn't the same, in words; empty if it is."""
    if one.of != other.of:
        return "number of parts"
    names = sorted({*one.about, *other.about})
    return ", ".join(name for name in names if one.about.get(name) != other.about.get(name))


def model_print(path: Path) -> str:
    """Fingerprint of a model's file, from the checksums in the archive's directory: its arrays aren't read."""
    with zipfile.ZipFile(path) as archive:
        entries = [(each.filename, each.CRC, each.file_size) for each in archive.infolist()]
    return hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()


def numbers_print(*numbers: NDArray[np.int32]) -> str:
    """Fingerprint of numbers of users or items, such as the users that all parts together are for."""
    digest = hashlib.sha256()
    for each in numbers:
        digest.update(f"{len(each)};".encode())
        digest.update(np.ascontiguousarray(each, np.int32).tobytes())
    return digest.hexdigest()
