"""Data on a disk that all workers see: they go to workers as a file's name, and each reads what it needs.

A folder of the fit has

pairs/indptr.npy   (U + 1,) int64, offsets of the users' lists
pairs/item.npy     (P,) int32, their training items by number among these
data/              the data set, where it wasn't a folder before
model.npz          the fitted model, which the lists are made with
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from mmap import ALLOCATIONGRANULARITY
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.select import get_backend
from milk_np.data import Dataset
from milk_np.data.rows import FeatureArray
from milk_np.errors import DataError
from milk_np.files.writing import folder_atomic
from milk_np.models.kernel_profile.pairs import Lists, training_lists
from milk_np.models.kernel_profile.spans import MOST_SPANS
from milk_np.text import VERSION


class SharedRows(np.memmap[Any, Any]):
    """A memory map of a whole file that is pickled as the file's name: a worker maps the file itself."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        mapped = getattr(self, "_mmap", None)
        whole = mapped is not None and self.offset % ALLOCATIONGRANULARITY + self.nbytes == len(mapped)
        if whole and self.flags.c_contiguous:
            return _mapped, (str(self.filename), self.dtype.str, self.shape, self.offset)
        return np.asarray(self).__reduce_ex__(protocol)


def _mapped(filename: str, dtype: str, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    try:
        return np.memmap(filename, dtype, "r", offset, shape)
    except OSError as error:
        raise DataError(f"{filename}: a worker can't read it ({error}); put the data on a disk that all see") from error


def on_shared_disk(ds: Dataset, folder: Path) -> Dataset:
    """`ds` with features that go to workers by name: its own files, or copies in `folder`."""
    if not all(isinstance(rows, np.memmap) for rows in ds.features.values()):
        ds = Dataset.load(ds.save(folder / "data"), check_features=False)
    features: dict[str, FeatureArray] = {name: rows.view(SharedRows) for name, rows in ds.features.items()}
    return replace(ds, features=features, check_features=False)


@dataclass(frozen=True)
class SharedPairs:
    """Training pairs in a folder; see `milk_np.models.kernel_profile.pairs.Source`."""

    folder: str
    n: int
    """Training items."""
    n_pairs: int

    @classmethod
    def write(cls, ds: Dataset, folder: Path) -> SharedPairs:
        """Those of `ds`, in `folder`."""
        indptr, item = training_lists(ds)
        with folder_atomic(folder) as new:
            np.save(new / "indptr.npy", indptr)
            np.save(new / "item.npy", item)
        return cls(str(folder), len(ds.train_items), len(item))

    def lists(self, span: slice) -> Lists:
        """The pairs of a span of users, read and sorted once by each worker that works on the span."""
        return _lists(self.folder, self.n, span.start, span.stop)


@lru_cache(MOST_SPANS)
def _lists(folder: str, n: int, start: int, stop: int) -> Lists:
    indptr = np.array(np.load(f"{folder}/indptr.npy", mmap_mode="r")[start : stop + 1])
    item = np.array(np.load(f"{folder}/item.npy", mmap_mode="r")[indptr[0] : indptr[-1]])
    return Lists.of(get_backend("cpu"), start, indptr - indptr[0], item, n)


def check_workers(client: Any, folder: Path) -> None:
    """Raise DataError unless every worker has this version of milk_np and sees `folder`."""
    probe = folder / "probe"
    probe.write_text(VERSION)
    for worker, found in client.run(_looked, str(probe), on_error="return").items():
        if isinstance(found, OSError):  # it is gone, or will be asked again by its work
            continue
        if isinstance(found, BaseException):
            raise found
        version, seen = found
        if version != VERSION:
            raise DataError(f"Dask: worker {worker} has milk_np {version}, this process {VERSION}; install the same")
        if not seen:
            raise DataError(f"folder: worker {worker} doesn't see {folder}; give a folder on a disk that all share")
    probe.unlink()


def _looked(probe: str) -> tuple[str, bool]:
    path = Path(probe)
    return VERSION, path.is_file() and path.read_text() == VERSION
