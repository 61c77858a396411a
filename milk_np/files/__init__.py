"""Text, JSON and `.npz` archives, written whole or not at all and read without unpickling.

Equal contents give identical bytes.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from milk_np.errors import DataError
from milk_np.files.parsing import parse_json
from milk_np.files.pieces import Pieces, read_rows, write_entry
from milk_np.files.writing import write_atomic
from milk_np.text import bytes_text

FORMAT_VERSION = 1
_META = "meta"
_LARGE, _MOST_EXPANDED = 1 << 28, 200
"""Bytes that an entry may take however it is compressed; above, it may expand to so many times its size."""
_END, _MANY = struct.Struct("<10xH10x"), 0xFFFF
"""The record at a zip archive's end with its number of entries, which so many and more are written elsewhere."""
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomic(path, lambda file: _write_all(file, text.encode()))


def write_json_atomic(path: str | Path, value: object) -> None:
    """Write indented JSON atomically; raises ValueError for NaN and infinity, which JSON doesn't have."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomic(path, text + "\n")


def write_npz_atomic(path: str | Path, arrays: Mapping[str, object], meta: Mapping[str, object]) -> None:
    """Write arrays and a JSON-able `meta`, which must hold "kind", as an uncompressed `.npz`.

    The names are stored in the order given and the file carries no date, so equal contents give equal bytes. A large
    array may come as `Pieces`.
    Raises ValueError for an array of objects, which only pickling could store.
    """
    text = json.dumps({**meta, "version": FORMAT_VERSION}, sort_keys=True)
    stored: dict[str, Any] = {_META: np.array(text)}
    for name, value in arrays.items():
        stored[name] = value if isinstance(value, Pieces) else np.asarray(value, order="C")
    write_atomic(path, lambda file: _write_zip(file, stored))


def read_npz(path: str | Path, kind: str, rows: Mapping[str, slice] | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and meta of a file that `write_npz_atomic` wrote with that "kind"; of some arrays, these `rows` alone.

    Raises DataError when the file is missing, damaged, of another kind or newer than this program.
    """
    arrays = load_arrays(path, rows=rows)
    meta = _checked_meta(path, arrays, kind)
    del arrays[_META]
    return arrays, meta


def read_meta(path: str | Path, kind: str) -> dict[str, Any]:
    """The meta of a file that `write_npz_atomic` wrote with that "kind", without its arrays; errors of `read_npz`."""
    return _checked_meta(path, load_arrays(path, only=(_META,)), kind)


def load_arrays(path: str | Path, only: Sequence[str] | None = None, rows: Mapping[str, slice] | None = None) -> Arrays:
    """Every array of an `.npz`, or those named `only`, without unpickling; of some arrays, these `rows` alone.

    Raises DataError naming the file and the damage.
    """
    refuse_special(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_index(path, archive)
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            wanted = [name for name in names if only is None or name.removesuffix(".npy") in only]
            some = rows or {}
            return {(k := name.removesuffix(".npy")): _read_entry(path, archive, name, some.get(k)) for name in wanted}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; check the path") from error
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not an .npz archive, or truncated ({error}); write or copy it again") from error


def refuse_special(path: str | Path) -> None:
    """Raise DataError for a pipe or a device, which would be read for ever; what is absent is left to the reader."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path}: expected a file, got a pipe or a device; write its contents to a file first")


def check_index(path: str | Path, archive: zipfile.ZipFile) -> None:
    """Raise DataError for an archive that would take much more memory than its size tells, or whose index doesn't tell
    of all entries by their names: an array that needn't be there would disappear."""
    names = archive.namelist()
    if len(names) != (told := _entries(path, archive)):
        raise DataError(
            f"{path}: its index has {len(names)} of {told} entries; the file is damaged, write or copy it again"
        )
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"{path}: entry {min(twice)!r} comes twice; write the file again")
    for entry in archive.infolist():
        _check_name(path, archive, entry)
        if entry.file_size > max(_LARGE, _MOST_EXPANDED * entry.compress_size):
            raise DataError(
                f"{path}: entry {entry.filename.removesuffix('.npy')!r} expands from {bytes_text(entry.compress_size)} "
                f"to {bytes_text(entry.file_size)}, more than {_MOST_EXPANDED} times; write it uncompressed (np.savez)"
            )


def _entries(path: str | Path, archive: zipfile.ZipFile) -> int:
    """The number of entries by the record at the archive's end; zipfile stops where lengths in the index say so."""
    with open(path, "rb") as file:
        file.seek(-_END.size - len(archive.comment), os.SEEK_END)
        told = int(_END.unpack(file.read(_END.size))[0])
    return told if told < _MANY else len(archive.namelist())


def _check_name(path: str | Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    try:
        archive.open(entry).close()  # compares the name in the index with that before the entry
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise DataError(
            f"{path}: entry {entry.filename!r} can't be read ({error}); the file is damaged, write or copy it again"
        ) from error


def require(path: str | Path, arrays: Mapping[str, object], *names: str) -> None:
    """Raise DataError if one of the entries is missing."""
    for name in names:
        if name not in arrays:
            raise DataError(f"{path}: entry {name!r} is missing; the file has {', '.join(sorted(arrays)) or 'none'}")


def parse_meta(path: str | Path, entry: np.ndarray[Any, np.dtype[Any]]) -> dict[str, Any]:
    """The JSON object in an archive's text entry."""
    meta = parse_json(str(entry), f"{path}: its {_META!r} entry")
    if not isinstance(meta, dict):
        raise DataError(f"{path}: its {_META!r} entry is not a JSON object")
    return meta


def _checked_meta(path: str | Path, arrays: Arrays, kind: str) -> dict[str, Any]:
    if _META not in arrays:
        raise DataError(f"{path}: has no {_META!r} entry, so it is not a {kind} file of milk_np")
    meta = parse_meta(path, arrays[_META])
    if meta.get("kind") != kind:
        raise DataError(f"{path}: expected a {kind} file, got {meta.get('kind')!r}")
    check_version(path, meta)
    return meta


def check_version(path: str | Path, meta: Mapping[str, object], newest: int = FORMAT_VERSION) -> None:
    """Raise DataError unless this program can read `meta["version"]`."""
    version = meta.get("version")
    if not isinstance(version, int) or version < 1:
        raise DataError(f"{path}: has no format version, expected a number from 1 to {newest}")
    if version > newest:
        raise DataError(
            f"{path}: format version {version} is newer than {newest}, the newest that this program reads; "
            "install a newer milk_np"
        )


def _read_entry(
    path: str | Path, archive: zipfile.ZipFile, name: str, rows: slice | None
) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        with archive.open(name) as file:
            if rows is not None:
                return read_rows(file, rows)
            array: np.ndarray[Any, np.dtype[Any]] = npy.read_array(file, allow_pickle=False)
            file.read()  # the archive's checksum is compared at the end of the entry
            _check_text(array)
            return array
    except OSError:
        raise
    except Exception as error:  # a damaged header raises nearly anything: MemoryError, SyntaxError, struct.error ...
        raise DataError(f"{path}: entry {name.removesuffix('.npy')!r} can't be read ({error})") from error


def _check_text(array: np.ndarray[Any, np.dtype[Any]]) -> None:
    """Raise ValueError for a number that is no character: Python's own functions fail on one in many ways."""
    if array.dtype.kind == "U" and array.dtype.isnative and array.dtype.itemsize:
        most = int(array.ravel().view(np.uint32).max(initial=0))
        if most > sys.maxunicode:
            raise ValueError(f"it holds the number {most} in the place of a character")


def _write_zip(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_DATE)
            with archive.open(entry, "w", force_zip64=True) as target:
                write_entry(target, array)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)
