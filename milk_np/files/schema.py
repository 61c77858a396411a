"""What a file's arrays have to look like: declared once for each kind of file, checked before anything computes.

A kernel doesn't look whether an index is in range, so nothing that was read from a file may reach one unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError

KINDS = {"b": "booleans", "i": "integers", "u": "unsigned integers", "f": "floats", "U": "text"}
_BLOCK = 1 << 22
"""Numbers that are looked at in one go."""


@dataclass(frozen=True)
class Field:
    """One array of a file.

    Attributes
    ----------
    kinds : str
        Kinds of dtype that are accepted, as NumPy's letters.
    shape : lengths
        Numbers, or letters such as "U" and "U+1": a letter means the same length in all arrays of a file. "*" is any.
    low, below : the range of whole numbers; `below` may be a letter
    finite : bool
        Whether floats have to be finite.
    offsets_of : str, optional
        The array whose rows these offsets delimit: they begin with 0, never fall, and end with its length.
    """

    kinds: str
    shape: tuple[str | int, ...]
    low: int | None = None
    below: int | str | None = None
    offsets_of: str | None = None
    optional: bool = False
    finite: bool = True


Schema = Mapping[str, Field]
"""Fields by name. A name that ends in # stands for all with a number there: W0, W1, ..."""
FLOATS = "f"
WHOLE = "iu"


def check(path: str | Path, arrays: Mapping[str, NDArray[Any]], schema: Schema, sizes: dict[str, int]) -> None:
    """Raise DataError, naming the file, the array, what was expected and what came, unless the arrays fit.

    `sizes` are the lengths that letters stand for; new ones are added.
    """
    found = [(one, field) for name, field in schema.items() for one in _named(path, name, field, arrays)]
    for name, field in found:
        _check_one(path, name, arrays[name], field, sizes)
    for name, field in found:
        _check_range(path, name, arrays, field, sizes)


def _named(path: str | Path, name: str, field: Field, arrays: Mapping[str, Any]) -> list[str]:
    """Names of the arrays that a field describes."""
    if name.endswith("#"):
        pattern = re.compile(re.escape(name[:-1]) + r"\d+")
        return sorted(filter(pattern.fullmatch, arrays))
    if name not in arrays and not field.optional:
        raise DataError(f"{path}: entry {name!r} is missing; write the file again")
    return [name] if name in arrays else []


def check_like(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], most: int
) -> None:
    """Raise DataError unless there is an array of the same kind and shape for each of `expected`.

    Whole numbers in them are counts from 0 to `most`.
    """
    fields = {
        name: Field(x.dtype.kind, x.shape, low=0, below=most + 1)
        if x.dtype.kind in WHOLE
        else Field(x.dtype.kind, x.shape)
        for name, x in expected.items()
    }
    check(path, arrays, fields, {})


def check_plain(path: str | Path, arrays: Mapping[str, NDArray[Any]], schema: Schema) -> None:
    """Raise DataError unless every array holds finite numbers, booleans or text in this machine's byte order.

    Those floats may be infinite, or NaN, whose field in `schema` says so.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in KINDS or not array.dtype.isnative:
            raise _wrong(path, name, " or ".join(KINDS.values()), f"{array.dtype}")
        if array.dtype.kind == "f" and (name not in schema or schema[name].finite):
            _check_finite(path, name, array)


def _check_one(path: str | Path, name: str, array: NDArray[Any], field: Field, sizes: dict[str, int]) -> None:
    expected = " or ".join(KINDS[kind] for kind in field.kinds)
    shape = f"({', '.join(map(str, field.shape))})"
    if array.dtype.kind not in field.kinds:
        raise _wrong(path, name, f"{expected} of shape {shape}", f"{array.dtype}")
    fits = array.ndim == len(field.shape) and all(map(_same, field.shape, array.shape, [sizes] * array.ndim))
    if not fits:
        known = ", ".join(f"{letter} {sizes[letter]}" for letter in sizes if letter in shape)
        raise _wrong(path, name, f"shape {shape}{' with ' if known else ''}{known}", f"{array.shape}")


def _same(expected: str | int, length: int, sizes: dict[str, int]) -> bool:
    """Whether a length is as expected; a letter that has none yet takes it."""
    if isinstance(expected, int):
        return expected == length
    if expected == "*":
        return True
    letter, _, more = expected.partition("+")
    return sizes.setdefault(letter, length - int(more or 0)) == length - int(more or 0) >= 0


def _check_range(
    path: str | Path, name: str, arrays: Mapping[str, NDArray[Any]], field: Field, sizes: dict[str, int]
) -> None:
    array = arrays[name]
    if field.offsets_of is not None:
        _check_offsets(path, name, array, len(arrays.get(field.offsets_of, ())), field.offsets_of)
    below = sizes[field.below] if isinstance(field.below, str) else field.below
    if array.size and (
        (field.low is not None and array.min() < field.low) or (below is not None and array.max() >= below)
    ):
        what = f"from {field.low or 0} to {below - 1}" if below is not None else f"{field.low} or more"
        raise _wrong(path, name, f"numbers {what}", f"{array.min()} to {array.max()}")


def _check_offsets(path: str | Path, name: str, offsets: NDArray[Any], length: int, of: str) -> None:
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != length or (offsets[1:] < offsets[:-1]).any():
        raise _wrong(path, name, f"offsets that rise from 0 to {length}, the length of {of}", "others")


def _check_finite(path: str | Path, name: str, array: NDArray[Any]) -> None:
    flat = array.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        if not np.isfinite(flat[start : start + _BLOCK]).all():
            raise _wrong(path, name, "finite numbers", "NaN or infinity")


def _wrong(path: str | Path, name: str, expected: str, got: str) -> DataError:
    return DataError(f"{path}: entry {name!r}: expected {expected}, got {got}; the file is damaged, write it again")
