"""Files of features by their endings: `.npy`, `.npz`, Parquet and folders of Parquet parts."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from milk_np.data.importers.arrow import ArrowTable
from milk_np.data.importers.arrow_vectors import vectors_of
from milk_np.data.importers.columns import read_id_file
from milk_np.data.importers.vectors import Vectors, of_mapping
from milk_np.data.rows import FeatureArray
from milk_np.data.storage import read_npy
from milk_np.errors import DataError, ModalityError
from milk_np.files import load_arrays


def read_vectors(
    source: str | PathLike[str], name: str, id_name: str, ids: Path | None = None, common: Path | None = None
) -> Vectors:
    """Vectors of one modality from `FILE` or `FILE:COLUMN`.

    `ids` are those of the rows of an `.npy`; `common` are those of every `.npy` that has no others.
    """
    path, column = split_column(source)
    read = next((reader for suffix, reader in READERS.items() if path.suffix.lower() == suffix), _parquet)
    if path.is_dir():
        read = _parquet
    elif path.exists() and path.suffix.lower() not in READERS:
        raise ModalityError(f"{path}: features of {name}: expected a file ending in {', '.join(READERS)}")
    if ids is not None and read is not _npy:
        raise ModalityError(f"{path}: features of {name}: it holds its ids itself; leave out --ids {name}={ids}")
    try:
        return read(path, name, id_name, column, common if ids is None else ids)
    except ModalityError:
        raise
    except DataError as error:
        said = str(error) if str(error).startswith(str(path)) else f"{path}: features of {name}: {error}"
        raise ModalityError(said) from error


def split_column(source: str | PathLike[str]) -> tuple[Path, str | None]:
    """The file and the column of `FILE:COLUMN`."""
    path = Path(source)
    if path.exists() or ":" not in path.name:
        return path, None
    file, _, column = str(source).rpartition(":")
    return Path(file), column


def _npy(path: Path, name: str, id_name: str, column: str | None, ids: Path | None) -> Vectors:
    rows = load_features(path, name)
    return Vectors.of_array(rows, f"feature_{name}", None if ids is None else read_id_file(ids))


def load_features(path: Path, name: str) -> FeatureArray:
    """One modality's `.npy`, memory-mapped."""
    try:
        array = read_npy(path, mmap=True)
    except DataError as error:
        raise ModalityError(f"{path}: features of {name}: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ModalityError(
            f"{path}: features of {name}: expected a 2-D array of floats (items x width), "
            f"got {array.dtype} of shape {array.shape}"
        )
    rows: FeatureArray = array
    return rows


def _npz(path: Path, name: str, id_name: str, column: str | None, ids: Path | None) -> Vectors:
    arrays = load_arrays(path)
    return of_mapping({key: np.asarray(array) for key, array in arrays.items()}, name, str(path), id_name, column)


def _parquet(path: Path, name: str, id_name: str, column: str | None, ids: Path | None) -> Vectors:
    if not path.exists():
        raise ModalityError(f"{path}: features of {name}: no such file; expected one ending in {', '.join(READERS)}")
    return vectors_of(ArrowTable.of_path(path), name, id_name, column)


READERS: dict[str, Callable[[Path, str, str, str | None, Path | None], Vectors]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}
"""By the ending of a file, what reads it."""
