"""Checksums of the arrays in a data set's folder: a bit that flips on the disk is noticed, and its array named."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

from milk_np.errors import DataError

KEY = "checksums"
"""Where `meta.json` has them: CRC-32 of each `.npy` file, in hexadecimal."""
_BLOCK = 1 << 20


def checksum(path: Path) -> str:
    """CRC-32 of a file."""
    value, block = 0, bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            value = zlib.crc32(memoryview(block)[:count], value)
    return f"{value:08x}"


def of_folder(folder: Path) -> dict[str, str]:
    """Checksum of each array in `folder`, by the array's name."""
    return {path.stem: checksum(path) for path in sorted(folder.glob("*.npy"))}


def verify(folder: Path, stored: Mapping[str, object], names: Collection[str]) -> None:
    """Raise DataError naming those of the arrays `names` that differ from their stored checksums."""
    bad = [name for name in names if name in stored and checksum(folder / f"{name}.npy") != stored[name]]
    if bad:
        raise DataError(
            f"{', '.join(f'{name}.npy' for name in bad)}: changed since the data set was saved, or damaged (the "
            "checksum in meta.json differs); copy it again, or make the data set anew with milk-prepare"
        )
