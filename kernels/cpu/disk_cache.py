"""Where compiled kernels are kept between runs.

Numba takes a compiled function for current as long as the function's own file is unchanged, whatever it calls or reads
in other files: after an upgrade it could run code that no longer fits together. So every version of the kernels'
sources gets a folder of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba

KERNELS = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """The folder for these sources: in NUMBA_CACHE_DIR where that is set, else in the user's cache."""
    chosen = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME")
    root = Path(chosen) if chosen else Path.home() / ".cache"
    return root / "milk_np" / f"kernels-{fingerprint()}"


@contextmanager
def own_folder() -> Iterator[None]:
    """Functions that are decorated meanwhile keep their code in `folder`, or where Numba would if that can't be."""
    before = numba.config.CACHE_DIR
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            numba.config.CACHE_DIR = str(place)
    except (OSError, RuntimeError):  # no home, or one that can't be written
        pass
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def fingerprint(kernels: Path = KERNELS) -> str:
    """Hash of the sources in the folder `kernels` that end up in compiled code."""
    digest = hashlib.sha256()
    for path in sorted([*kernels.glob("cpu/*.py"), *kernels.glob("reference/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
