"""Large arrays of an `.npz` that are never in memory as a whole: written from pieces, read by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

_BLOCK = 1 << 24


@dataclass(frozen=True)
class Pieces:
    """An array (n, ...) whose rows come in pieces, in their order, when `pieces` is called."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterable[np.ndarray[Any, np.dtype[Any]]]]


def write_entry(target: Any, array: np.ndarray[Any, np.dtype[Any]] | Pieces) -> None:
    """Write an array in `.npy` format; equal contents give equal bytes, in pieces or not."""
    if not isinstance(array, Pieces):
        npy.write_array(target, array, allow_pickle=False)
        return
    head = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    npy.write_array_header_1_0(target, head)
    for piece in array.pieces():
        target.write(np.ascontiguousarray(piece).data.cast("B") if piece.size else b"")


def read_rows(file: BinaryIO | Any, rows: slice) -> np.ndarray[Any, np.dtype[Any]]:
    """The rows `rows` of an array in `.npy` format, without the others; reads to the end. ValueError if it can't."""
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, fortran, dtype = read_header(file)
    if fortran or not shape or dtype.hasobject:
        raise ValueError(f"expected rows of numbers one after the other, got {dtype} of shape {shape}")
    start, stop, _ = rows.indices(shape[0])
    row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    _skip(file, start * row)
    out = np.empty((max(0, stop - start), *shape[1:]), dtype)
    flat, at = out.reshape(-1).view(np.uint8), 0
    while at < len(flat):
        block = file.read(min(_BLOCK, len(flat) - at))
        if not block:
            raise ValueError("it ends too early")
        flat[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    while file.read(_BLOCK):
        pass  # the archive's checksum is compared at the end
    return out


def _skip(file: Any, count: int) -> None:
    while count > 0:
        block = file.read(min(_BLOCK, count))
        if not block:
            raise ValueError("it ends too early")
        count -= len(block)
