"""Data sets on disk: one `.npz` without pickled objects, or a memory-mapped folder of `.npy` files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data import checksums
from milk_np.errors import DataError, ModalityError, OutOfMemoryError
from milk_np.files import check_index, refuse_special
from milk_np.files.parsing import parse_json
from milk_np.files.writing import folder_atomic, write_atomic

FORMAT = 2
"""Version 2 knows items without pairs (item_split 3) and sets without new items; version 1 is read too."""
REQUIRED = ("user", "item", "split", "item_split", "modalities", "available")
OPTIONAL = ("user_ids", "item_ids")
FEATURE = "feature_"
PAIRS = ("user", "item", "split")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of the message of an error."""
    try:
        yield
    except (DataError, OutOfMemoryError) as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {error}") from error.__cause__


def read_arrays(path: Path, check: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and meta of a data set, from an `.npz` or a folder; features and pairs of a folder stay on disk.

    An `.npz` has checksums of its own. Those of a folder are compared here, of the features only if `check`.

    Raises
    ------
    DataError
        If the file is missing, isn't a data set, is truncated or damaged, or lacks an array.
    """
    if path.is_dir():
        return _read_folder(path, check)
    refuse_special(path)
    if not path.exists():
        raise DataError("no such file or folder; expected a data set (.npz or a folder) made by milk-prepare")
    return _read_npz(path)


def read_npy(path: Path, mmap: bool = False) -> Any:
    """One `.npy` array, never unpickled."""
    refuse_special(path)
    if not path.exists():
        raise DataError(f"no file {path.name}; expected a NumPy array in .npy format")

    def load() -> Any:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)

    array = _guarded(load, path.name)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path.name}: expected one array in .npy format, got an .npz archive")
    return array


def _guarded(load: Callable[[], Any], what: str) -> Any:
    """Run NumPy's reader; any error from a damaged file becomes a DataError."""
    try:
        return load()
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{what} doesn't fit in memory; save the data set as a folder, whose features are read from disk"
        ) from error
    except Exception as error:  # a damaged archive raises nearly anything: zipfile, zlib, tokenize, struct ...
        raise DataError(
            f"{what} can't be read ({_reason(error)}); expected complete NumPy arrays without pickled objects: "
            "write the file again, for example with milk-prepare"
        ) from error


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "object arrays" in text.lower() or "python objects" in text.lower():
        return "it holds pickled objects"
    return "it is not a NumPy file" if "pickle" in text.lower() else text


def _read_npz(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    # NumPy leaves the file open if it isn't an archive, so it is opened and closed here.
    with _guarded(lambda: path.open("rb"), "the file") as file:
        archive = _guarded(lambda: np.load(file, allow_pickle=False), "the file")
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError("expected an .npz archive of several arrays, got a single .npy array")
        if archive.zip is not None:
            check_index(path, archive.zip)
        names = tuple(archive.files)
        _check_keys(names)
        arrays = {name: _entry(archive, name) for name in names if _known(name)}
        if "meta" not in names:
            raise DataError(f'no array meta; expected JSON text such as {{"format": {FORMAT}}}')
        meta = parse_meta(str(_entry(archive, "meta")))
    _check_feature_keys(arrays)
    return arrays, meta


def _entry(archive: np.lib.npyio.NpzFile, name: str) -> Any:
    array = _guarded(lambda: archive[name], f"array {name}")
    if not isinstance(array, np.ndarray):  # NumPy gives what it doesn't know as bytes
        raise DataError(f"array {name} is no NumPy array; write the file again, for example with milk-prepare")
    return array


def _read_folder(path: Path, check: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, meta = read_part(path, check)
    _check_keys(tuple(arrays))
    return arrays, meta


def read_part(path: Path, check: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those arrays of a data set that a folder has, and its meta; see `read_arrays`."""
    if not (path / "meta.json").exists():
        raise DataError("the folder has no meta.json, so it isn't a data set; import raw files with milk-prepare first")
    meta = read_meta(path / "meta.json")
    names = tuple(sorted(p.stem for p in path.glob("*.npy")))
    stored, known = meta.pop(checksums.KEY, {}), [k for k in names if _known(k)]
    if isinstance(stored, dict):
        if lost := sorted(set(stored) - set(names)):
            raise DataError(f"{lost[0]}.npy: no such file, though meta.json has its checksum; copy the folder again")
        checksums.verify(path, stored, [k for k in known if check or not k.startswith(FEATURE)])
    arrays = {k: read_npy(path / f"{k}.npy", mmap=k.startswith(FEATURE) or k in PAIRS) for k in known}
    if "modalities" in arrays:
        _check_feature_keys(arrays)
    return arrays, meta


def _known(key: str) -> bool:
    return key in REQUIRED or key in OPTIONAL or key.startswith(FEATURE)


def _check_keys(names: tuple[str, ...]) -> None:
    absent = [k for k in REQUIRED if k not in names]
    if absent:
        raise DataError(
            f"no array {', '.join(absent)}; expected {', '.join(REQUIRED)}, feature_NAME and meta, "
            f"got {', '.join(names) or 'nothing'}"
        )


def _check_feature_keys(arrays: dict[str, Any]) -> None:
    names = arrays["modalities"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ModalityError(f"modalities: expected a 1-D array of names, got {names.dtype} of shape {names.shape}")
    expected = {FEATURE + str(name) for name in names}
    if len(expected) < len(names):
        raise ModalityError(f"modalities: expected names that differ, got {', '.join(map(str, names))}")
    found = {k for k in arrays if k.startswith(FEATURE)}
    for key in sorted(expected - found):
        raise ModalityError(f"no array {key}, though modalities lists {key.removeprefix(FEATURE)}")
    for key in sorted(found - expected):
        raise ModalityError(
            f"array {key} isn't listed in modalities ({', '.join(map(str, names))}); add its name there or remove it"
        )


def read_meta(file: Path) -> dict[str, Any]:
    """Meta of a folder from its file; errors of `parse_meta`, and DataError for a file that can't be read."""
    refuse_special(file)
    return parse_meta(_guarded(lambda: file.read_text(encoding="utf-8"), file.name))


def parse_meta(text: str) -> dict[str, Any]:
    """Meta from its JSON text; raises DataError for a version that this program can't read."""
    meta = parse_json(text, f"meta: expected JSON text, got {text[:40]!r}")
    version = meta.get("format") if isinstance(meta, dict) else None
    if isinstance(version, bool) or not isinstance(version, int):
        raise DataError(f'meta: expected a JSON object with a whole number "format", got {text[:60]!r}')
    if not 1 <= version <= FORMAT:
        raise DataError(f"meta: format {version} can't be read, expected 1 to {FORMAT}; a newer milk_np made it")
    return {key: value for key, value in meta.items() if key != "format"}


def meta_text(meta: Mapping[str, Any]) -> str:
    """JSON text of `meta` and the format version."""
    try:
        return json.dumps({**meta, "format": FORMAT}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"meta: expected values that JSON can hold, {error}") from error


def write_npz(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write an uncompressed `.npz` that appears under `path` only when it is complete."""
    content = {**arrays, "meta": np.array(meta_text(meta))}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: np.savez(file, **content))


def write_folder(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write a folder of `.npy` files and `meta.json`, then replace an earlier data set by it."""
    meta_text(meta)  # what JSON can't hold is an error before the work
    with new_folder(path) as temporary:
        for key, array in arrays.items():
            np.save(temporary / f"{key}.npy", array, allow_pickle=False)
        write_meta(temporary, meta)


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `meta.json` of a folder that has all its arrays, with their checksums."""
    (folder / "meta.json").write_text(meta_text({**meta, checksums.KEY: checksums.of_folder(folder)}) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `path` on success and removed on failure."""
    if path.exists() and not (path / "meta.json").exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: exists and isn't a data set, so it isn't overwritten; choose another name")
    with folder_atomic(path) as temporary:
        yield temporary
