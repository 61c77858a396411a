"""Vectors of users or items as files for other programs: Parquet, safetensors, NumPy, faiss."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import MissingExtraError, SettingsError
from milk_np.files.writing import write_atomic


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Vectors by id; a score is the dot product of a user's and an item's vector.

    Attributes
    ----------
    ids : n texts
    vectors : (n, K) float32
    owned : (n, M) bool, optional
        Which item has which of `modalities`.
    """

    ids: list[str]
    vectors: NDArray[np.float32]
    owned: NDArray[np.bool_] | None = None
    modalities: tuple[str, ...] = ()


def write_vectors(path: str | Path, table: VectorTable) -> list[Path]:
    """Write `table` in the format of the suffix; returns the files, each whole or absent.

    `.parquet` has the columns id, vector and, where known, owned; `.safetensors` the tensor vectors, and ids as JSON
    in its metadata. `.npy` and `.faiss` (inner product, exact) have no room for ids: they stand in NAME.ids.npy.

    Raises
    ------
    SettingsError
        For any other suffix.
    MissingExtraError
        If the library for the format is not installed.
    """
    path = Path(path)
    content = vector_writer(path)(table)
    files = [path]
    if path.suffix.lower() in (".npy", ".faiss"):
        files = [path.with_suffix(".ids.npy"), path]
        ids = np.array(table.ids, np.str_)
        write_atomic(files[0], lambda file: np.save(file, ids, allow_pickle=False))
    write_atomic(path, content)
    return files


Content = Callable[[BinaryIO], None]


def vector_writer(path: str | Path) -> Callable[[VectorTable], Content]:
    """The writer for a file name; called early so that a wrong name is an error before the work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise SettingsError(f"{path}: expected a name that ends in {', '.join(_WRITERS)}, got {suffix or 'none'}")
    library, extra, write = _WRITERS[suffix]
    if library:
        require_extra(library, extra, f"{suffix} files")
    return write


def require_extra(library: str, extra: str, what: str) -> None:
    """MissingExtraError that names the extra if a library isn't installed."""
    from importlib.util import find_spec

    if find_spec(library) is None:
        raise MissingExtraError(f'{what} need {library}, which is not installed; pip install "milk-np[{extra}]"')


def _parquet(table: VectorTable) -> Content:
    import pyarrow as arrow
    from pyarrow import parquet

    rows = np.ascontiguousarray(table.vectors, np.float32)
    columns = {
        "id": arrow.array(table.ids, arrow.string()),
        "vector": arrow.FixedSizeListArray.from_arrays(arrow.array(rows.ravel()), rows.shape[1]),
    }
    if table.owned is not None:
        names = [[name for name, has in zip(table.modalities, row, strict=True) if has] for row in table.owned.tolist()]
        columns["owned"] = arrow.array(names, arrow.list_(arrow.string()))
    return lambda file: parquet.write_table(arrow.table(columns), file)


def _safetensors(table: VectorTable) -> Content:
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {"vectors": np.ascontiguousarray(table.vectors)}
    meta = {"ids": json.dumps(table.ids)}
    if table.owned is not None:
        tensors["owned"] = np.ascontiguousarray(table.owned)
        meta["modalities"] = json.dumps(table.modalities)
    data = save(tensors, meta)
    return lambda file: _all(file, data)


def _npy(table: VectorTable) -> Content:
    return lambda file: np.save(file, table.vectors, allow_pickle=False)


def _faiss(table: VectorTable) -> Content:
    import faiss

    index = faiss.IndexFlatIP(table.vectors.shape[1])
    index.add(np.ascontiguousarray(table.vectors))
    data = faiss.serialize_index(index).tobytes()
    return lambda file: _all(file, data)


def _all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


_WRITERS: dict[str, tuple[str, str, Callable[[VectorTable], Content]]] = {
    ".parquet": ("pyarrow", "parquet", _parquet),
    ".safetensors": ("safetensors", "export", _safetensors),
    ".npy": ("", "", _npy),
    ".faiss": ("faiss", "ann", _faiss),
}
"""By suffix: the library, the extra that brings it, and the writer."""
