"""The lock of a run's folder: one process writes there, and a dead one keeps nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from milk_np.errors import SettingsError
from milk_np.files.writing import lock


class RunLock:
    """The lock on a folder, held as long as this object lives; the system takes it from a process that ends.

    It lies on the folder itself, so there is no file that could stay behind. Where the file system has no locks,
    nothing is held.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if lock(self._descriptor) is False:
            raise SettingsError(
                f"--out {folder}: another process is writing this run; wait until it ends, or choose another folder"
            )

    def __del__(self) -> None:
        os.close(self._descriptor)


_HELD: WeakValueDictionary[tuple[int, int], RunLock] = WeakValueDictionary()
_HELD_GUARD = threading.Lock()


def locked(folder: Path) -> RunLock:
    """The lock on `folder`, shared by all of this process; SettingsError if another process holds it."""
    with _HELD_GUARD:
        found = os.stat(folder)
        key = (found.st_dev, found.st_ino)
        held = _HELD.get(key) or RunLock(folder)
        _HELD[key] = held
        return held
