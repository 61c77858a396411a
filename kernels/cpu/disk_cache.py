"""Where compiled kernels are kept between runs, and what is done about damaged files and folders that can't be written.

Numba takes a compiled function for current as long as the function's own file is unchanged, whatever it calls or reads
in other files: after an upgrade it could run code that no longer fits together. So every version of the kernels'
sources gets a folder of its own.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, dispatcher

KERNELS = Path(__file__).resolve().parent.parent
_DISPATCHER: Any = dispatcher
"""Where Numba looks up what keeps the code of a function."""


def folder() -> Path:
    """The folder for these sources: in NUMBA_CACHE_DIR where that is set, else in the user's cache."""
    chosen = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME")
    root = Path(chosen) if chosen else Path.home() / ".cache"
    return _below(root / "milk_np")


def place() -> Path | None:
    """The folder to use: the usual one if it can be written or has compiled kernels, else a private temporary one.

    None if neither can be had: then kernels are compiled in every process.
    """
    with suppress(OSError, RuntimeError):  # no home, or one that can't be written
        usual = folder()
        if _writable(usual) or any(usual.rglob("*.nbi")):
            return usual
    with suppress(OSError):
        private = _private_folder()
        if private is not None and _writable(_below(private)):
            return _below(private)
    return None


def _below(root: Path) -> Path:
    return root / f"kernels-{fingerprint()}"


def _writable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def _private_folder() -> Path | None:
    """A folder of this user alone below the temporary one; None if somebody else could write there.

    What Numba keeps is unpickled when it is read, so a folder that others prepared must not be used.
    """
    path = Path(tempfile.gettempdir()) / f"milk_np-{os.geteuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return path if own else None


@contextmanager
def own_folder(variant: str = "") -> Iterator[None]:
    """Functions that are decorated meanwhile keep their code in `place`, a `variant` of them apart from the others."""
    before, usual, found = numba.config.CACHE_DIR, _DISPATCHER.FunctionCache, place()
    numba.config.CACHE_DIR = "" if found is None else str(found / variant)
    _DISPATCHER.FunctionCache = _no_cache if found is None else _Cache
    try:
        yield
    finally:
        numba.config.CACHE_DIR, _DISPATCHER.FunctionCache = before, usual


_NAME = "UserProvidedCacheLocator"
_PROVIDED: Any = getattr(caching, _NAME, None) or getattr(caching, f"_{_NAME}")  # the second up to Numba 0.61


class _Locator(_PROVIDED):  # type: ignore[misc]
    """A folder that need not be writable."""

    def ensure_cache_path(self) -> None:
        with suppress(OSError):
            os.makedirs(self.get_cache_path(), exist_ok=True)


class _Place(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = [_Locator]  # noqa: RUF012


class _File(caching.IndexDataCacheFile):  # type: ignore[misc]
    """Compiled code with its hash. What is torn or damaged counts as absent; what can't be written is left out."""

    def load(self, key: Any) -> Any:
        try:
            return super().load(key)
        except Exception:  # a damaged pickle raises nearly anything
            return None

    def save(self, key: Any, data: Any) -> None:
        with suppress(OSError):
            super().save(key, data)

    def _load_index(self) -> Any:
        try:
            found = super()._load_index()
            return found if isinstance(found, dict) else {}
        except Exception:
            return {}

    def _save_data(self, name: str, data: Any) -> None:
        code = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(code + hashlib.sha256(code).digest())  # unpickling stops before the hash

    def _load_data(self, name: str) -> Any:
        stored = Path(self._data_path(name)).read_bytes()
        whole = hashlib.sha256(stored[:-32]).digest() == stored[-32:]
        return super()._load_data(name) if whole else None


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function with the above."""

    _impl_class = _Place

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _File(self._cache_path, self._impl.filename_base, stamp)


def _no_cache(_function: Any) -> Any:
    return caching.NullCache()


def fingerprint(kernels: Path = KERNELS) -> str:
    """Hash of the sources in the folder `kernels` that end up in compiled code."""
    digest = hashlib.sha256()
    for path in sorted([*kernels.glob("cpu/*.py"), *kernels.glob("reference/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
